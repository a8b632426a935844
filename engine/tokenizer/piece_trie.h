#ifndef ENGINE_TOKENIZER_PIECE_TRIE_H
#define ENGINE_TOKENIZER_PIECE_TRIE_H

/* piece_trie.h - all tokens that begin at a place of a text, in one walk over its bytes: a trie as a
 * double array (Aoe, "An efficient digital search algorithm by using a double-array structure",
 * 1989).  Built once, then read by any thread. */

#include "config/base/status.h"
#include "engine/tokenizer/vocab.h"

#include <stdint.h>

#define PIECE_TRIE_ROOT 0u
#define PIECE_TRIE_NONE UINT32_MAX

struct piece_node {
    uint32_t base;   /* the child by byte c is node base + c, */
    uint32_t parent; /* if that has this node as its parent */
    int32_t id;      /* of the token that ends here, -1 = none */
};
struct piece_trie {
    struct piece_node *nodes; /* any base + 255 is inside */
    size_t n_nodes;
};
/* Every token of v that is not empty; of equal ones that with the highest id.  left_out[n_ids]:
 * those with anything but 0 stay outside; NULL = none does.  Time and memory are linear in the
 * tokens' bytes: 250,000 tokens take some 60 ms and 10 MB. */
enum status piece_trie_build(struct piece_trie *t, const struct vocab *v, const uint8_t *left_out,
                             struct error *err);
void piece_trie_free(struct piece_trie *t);

/* One byte on from `node`; PIECE_TRIE_NONE when no token goes that way. */
static inline uint32_t piece_trie_step(const struct piece_trie *t, uint32_t node, char byte)
{
    uint32_t next = t->nodes[node].base + (uint8_t)byte;
    return t->nodes[next].parent == node ? next : PIECE_TRIE_NONE;
}

#endif
