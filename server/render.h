#ifndef SERVER_RENDER_H
#define SERVER_RENDER_H

/* render.h - `inferd render DIR`: a chat-completions request on standard input, the prompt that the
 * model would get on standard output: exactly its bytes, or with --ids its token ids as a JSON
 * array.  The server's own code from the body to the prompt; no weights are read. */

/* argv without the program and the command names. */
int render_main(int argc, char **argv);

#endif
