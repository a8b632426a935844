#ifndef SERVER_TERMINAL_TERMINAL_H
#define SERVER_TERMINAL_TERMINAL_H

/* terminal.h - `inferd chat`: a conversation with a model, for a person at a terminal or in a pipe.
 * A client of the HTTP API like others, of a running server or of one that it starts for itself.
 *
 * Exit status: 0 done (also when nobody reads the output any more), 1 failed, 2 wrong usage. */

/* argv without the names of program and command. */
int chat_main(int argc, char **argv);

#endif
