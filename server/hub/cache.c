#include "server/hub/cache.h"

#include "config/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WORD_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* --- names ----------------------------------------------------------------------------------- */

/* The hub's rule; "--" stands for "/" in the cache's names, so it can be in none. */
static bool is_part(const char *s, size_t len)
{
    if (len == 0 || len > HUB_PART_MAX || strspn(s, WORD_CHARS) < len) return false;
    if (strchr(".-", s[0]) || strchr(".-", s[len - 1])) return false;
    for (size_t i = 0; i + 1 < len; i++)
        if ((s[i] == '-' && s[i + 1] == '-') || (s[i] == '.' && s[i + 1] == '.')) return false;
    return true;
}

/* A branch, tag, commit or refs/pr/N: it becomes a path below refs/ and part of a URL. */
static bool is_revision(const char *s)
{
    size_t len = strlen(s);
    if (len == 0 || len > HUB_REV_MAX || strspn(s, WORD_CHARS "/") < len) return false;
    if (s[0] == '-' || s[len - 1] == '/') return false;
    for (const char *p = s; p; p = strchr(p, '/')) {
        p += *p == '/' && p != s;
        if (*p == '.' || *p == '/') return false;
    }
    return true;
}

bool hub_is_commit(const char *text)
{
    return strlen(text) == HUB_COMMIT_LEN && strspn(text, "0123456789abcdef") == HUB_COMMIT_LEN;
}

bool hub_name_parse(const char *text, struct hub_name *out)
{
    const char *slash = strchr(text, '/');
    if (!slash) return false;
    size_t name_len = strcspn(slash + 1, "@");
    const char *at = slash + 1 + name_len;
    const char *rev = *at ? at + 1 : "main";

    if (!is_part(text, (size_t)(slash - text)) || !is_part(slash + 1, name_len) ||
        !is_revision(rev))
        return false;
    snprintf(out->repo, sizeof(out->repo), "%.*s", (int)(at - text), text);
    snprintf(out->rev, sizeof(out->rev), "%s", rev);
    return true;
}

void hub_name_print(const struct hub_name *name, char out[sizeof(struct hub_name) + 2])
{
    bool main_rev = strcmp(name->rev, "main") == 0;
    snprintf(out, sizeof(*name) + 2, "%s%s%s", name->repo, main_rev ? "" : "@",
             main_rev ? "" : name->rev);
}

/* --- places ---------------------------------------------------------------------------------- */

const char *hub_variable(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

enum status hub_place_find(const struct hub_place *places, size_t n, char out[PATH_MAX],
                           struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *dir = hub_variable(places[i].variable);
        if (!dir) continue;
        /* In a unit file or an image no shell has expanded it; huggingface_hub does. */
        const char *home =
            dir[0] == '~' && (!dir[1] || dir[1] == '/') ? hub_variable("HOME") : NULL;
        int len = snprintf(out, PATH_MAX, "%s%s%s", home ? home : "", home ? dir + 1 : dir,
                           places[i].below);
        if (len >= 0 && len < PATH_MAX) return STATUS_OK;
        return error_set(err, STATUS_INVALID, "%s is too long", places[i].variable);
    }
    return STATUS_NOT_FOUND;
}

enum status hub_cache_root(char out[PATH_MAX], struct error *err)
{
    static const struct hub_place places[] = {{"HF_HUB_CACHE", ""},
                                              {"HUGGINGFACE_HUB_CACHE", ""},
                                              {"HF_HOME", "/hub"},
                                              {"XDG_CACHE_HOME", "/huggingface/hub"},
                                              {"HOME", "/.cache/huggingface/hub"}};
    enum status st = hub_place_find(places, sizeof(places) / sizeof(places[0]), out, err);
    if (st != STATUS_NOT_FOUND) return st;
    return error_set(err, STATUS_NOT_FOUND,
                     "no Hugging Face cache: set HF_HUB_CACHE to its directory, or HOME");
}

enum status hub_cache_repo(const struct hub_name *name, char out[PATH_MAX], struct error *err)
{
    char root[PATH_MAX], folder[2 * HUB_PART_MAX + 16];
    const char *slash = strchr(name->repo, '/');
    enum status st = hub_cache_root(root, err);

    if (st != STATUS_OK) return st;
    snprintf(folder, sizeof(folder), "models--%.*s--%s", (int)(slash - name->repo), name->repo,
             slash + 1);
    return path_join(out, PATH_MAX, root, folder, err);
}

/* refs/REV as the commit that it holds; false when there is none. */
static bool read_ref(const char *repo, const char *rev, char commit[HUB_COMMIT_LEN + 1])
{
    char path[PATH_MAX], *text;
    size_t len;
    int n = snprintf(path, sizeof(path), "%s/refs/%s", repo, rev);

    if (n < 0 || (size_t)n >= sizeof(path)) return false;
    if (file_read(path, 2 * HUB_COMMIT_LEN, &text, &len, NULL) != STATUS_OK) return false;
    text[strcspn(text, " \r\n")] = '\0';
    bool ok = hub_is_commit(text);
    if (ok) memcpy(commit, text, HUB_COMMIT_LEN + 1);
    free(text);
    return ok;
}

enum status hub_cache_find(const struct hub_name *name, char out[PATH_MAX], struct error *err)
{
    char repo[PATH_MAX], commit[HUB_COMMIT_LEN + 1] = "";
    struct stat info;
    enum status st = hub_cache_repo(name, repo, err);
    char said[sizeof(*name) + 2];

    if (st != STATUS_OK) return st;
    if (!read_ref(repo, name->rev, commit) && hub_is_commit(name->rev))
        memcpy(commit, name->rev, sizeof(commit));
    int n = snprintf(out, PATH_MAX, "%s/snapshots/%s", repo, commit);
    if (n < 0 || n >= PATH_MAX) return error_set(err, STATUS_INVALID, "path too long: %s", repo);
    if (commit[0] && stat(out, &info) == 0 && S_ISDIR(info.st_mode)) return STATUS_OK;
    hub_name_print(name, said);
    return error_set_param(err, STATUS_NOT_FOUND, "model",
                           "%s: no such directory, and no model of that name in the Hugging Face "
                           "cache (%.200s has no snapshot of %.80s); download it: inferd pull %s",
                           said, repo, name->rev, said);
}
