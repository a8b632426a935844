#include "engine/tokenizer/regex_properties.h"

#include <stdio.h>
#include <string.h>

#define PROPERTY_NAME_MAX 40

const struct regex_set *regex_property(const char *name)
{
    char word[PROPERTY_NAME_MAX + 3];
    size_t len = strlen(name);
    if (len == 0 || len > PROPERTY_NAME_MAX || strchr(name, ' ')) return NULL;
    snprintf(word, sizeof(word), " %s ", name);
    for (size_t i = 0; i < n_regex_sets; i++)
        if (strstr(regex_sets[i].names, word)) return &regex_sets[i];
    return NULL;
}

void regex_set_items(const struct regex_set *set, struct strbuf *out)
{
    strbuf_add_str(out, set->items);
    for (const char *p = set->more; *p;) {
        size_t len = strcspn(p, "- ");
        strbuf_addf(out, "\\x{%.*s}", (int)len, p);
        p += len;
        if (*p == '-') strbuf_add_char(out, '-');
        p += *p != '\0';
    }
}
