#ifndef SERVER_HUB_PULL_H
#define SERVER_HUB_PULL_H

/* pull.h - `inferd pull ORG/NAME[@REV]`: a model of a hub into the Hugging Face cache. */

/* argv without the names of program and command.  0, 1 failed, 2 wrong usage, 130 interrupted. */
int pull_main(int argc, char **argv);

#endif
