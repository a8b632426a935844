#ifndef SERVER_BENCH_BENCH_H
#define SERVER_BENCH_BENCH_H

/* bench.h - `inferd bench`: `engine` is in a folder of its own; `serve` is a load generator for
 * OpenAI-compatible servers.
 *
 *   args -> workload (what to send, and when) -> client (libuv, one thread) -> report
 *
 * One thread drives every connection: responses are parsed as they come (response.h), events are
 * counted without parsing JSON (sse_scan.h), times go into bounded histograms (histogram.h).
 * It uses config/ and libuv, and nothing else of the server. */

/* argv without the program's name and "bench".  Exit status of serve: 0 when a request succeeded,
 * 1 when none did or the server cannot be reached, 2 for wrong options. */
int bench_main(int argc, char **argv);

#endif
