#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

/* serve.h - `inferd serve DIR` and `inferd render-server DIR`: the life of the server process.
 *
 *   options -> listen -> load on a thread of its own -> ready -> SIGTERM: drain -> stop
 *
 * A render server loads the text part of the model alone (load_text.h): it turns requests into
 * token ids for others, by the same routes, and generates nothing.
 *
 * The port is open while the model loads: /health/live says 200, /health/ready and generation 503.
 * Ready is told by two lines on standard error, or by one on the descriptor of --ready-fd.
 *
 * Exit status: 0 after SIGTERM or SIGINT, 1 when loading, listening or the device failed, 2 for
 * wrong options, 128 + signal when a second signal cut the end short. */

/* argv without the program and the subcommand names. */
int serve_main(int argc, char **argv);
int render_server_main(int argc, char **argv);

#endif
