#include "server/hub/cache.h"

#include "config/base/file.h"
#include "server/cli.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define WORD_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* Of what a message about the cache looks through. */
enum { ENTRIES_MAX = 1000, REVISIONS_MAX = 16, REF_DEPTH_MAX = 3 };

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

/* The text behind the host, when the host is a hub's. */
static const char *behind_host(const char *text)
{
    static const char *const hosts[] = {"huggingface.co/", "www.huggingface.co/", "hf.co/"};
    const char *endpoint = hub_variable("HF_ENDPOINT");
    size_t len = endpoint ? strlen(endpoint) : 0;

    while (len > 0 && endpoint[len - 1] == '/') len--;
    if (len > 0 && strncmp(text, endpoint, len) == 0 && text[len] == '/') return text + len + 1;
    if (strncasecmp(text, "https://", 8) == 0)
        text += 8;
    else if (strncasecmp(text, "http://", 7) == 0)
        text += 7;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (strncasecmp(text, hosts[i], strlen(hosts[i])) == 0) return text + strlen(hosts[i]);
    return NULL;
}

bool hub_name_from_url(const char *text, struct hub_name *out)
{
    static const char *const others[] = {"datasets/", "spaces/", "docs/", "models/"};
    static const char *const folders[] = {"/tree/", "/blob/", "/resolve/", "/commit/"};
    char name[sizeof(struct hub_name)];
    const char *at = behind_host(text), *rev = "";

    if (!at) return false;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strncmp(at, others[i], strlen(others[i])) == 0) return false;
    size_t org_len = strcspn(at, "/?#"), part_len = 0, rev_len = 0;
    if (at[org_len] != '/') return false;
    part_len = strcspn(at + org_len + 1, "/?#");
    const char *rest = at + org_len + 1 + part_len;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (strncmp(rest, folders[i], strlen(folders[i])) == 0) rev = rest + strlen(folders[i]);
    rev_len = strcspn(rev, "/?#");
    int n = snprintf(name, sizeof(name), "%.*s%s%.*s", (int)(org_len + 1 + part_len), at,
                     rev_len ? "@" : "", (int)rev_len, rev);
    return n > 0 && (size_t)n < sizeof(name) && hub_name_parse(name, out);
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

bool hub_says_yes(const char *name)
{
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *v = hub_variable(name);
    for (size_t i = 0; v && i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(v, words[i]) == 0) return true;
    return false;
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

/* --- what is there --------------------------------------------------------------------------- */

/* References of a model, found by walking refs/: names of people's making, so all is bounded. */
struct revisions {
    char names[REVISIONS_MAX][HUB_REV_MAX + 1];
    int n;
    int entries_left; /* of the budget for all folders */
};

static void add_revision(const char *repo, const char *rev, struct revisions *out)
{
    char commit[HUB_COMMIT_LEN + 1], path[PATH_MAX];
    struct stat info;

    if (out->n == REVISIONS_MAX || !is_revision(rev) || !read_ref(repo, rev, commit)) return;
    int n = snprintf(path, sizeof(path), "%s/snapshots/%s", repo, commit);
    if (n < 0 || (size_t)n >= sizeof(path) || stat(path, &info) != 0) return;
    memcpy(out->names[out->n++], rev, strlen(rev) + 1);
}

/* refs/`below`, "" or "pr/"; `depth` more folders may follow. */
static void walk_refs(const char *repo, const char *below, int depth, struct revisions *out)
{
    char path[PATH_MAX], name[HUB_REV_MAX + 1];
    int n = snprintf(path, sizeof(path), "%s/refs/%s", repo, below);
    DIR *dir = n > 0 && (size_t)n < sizeof(path) ? opendir(path) : NULL;

    if (!dir) return;
    for (struct dirent *e; out->entries_left-- > 0 && (e = readdir(dir));) {
        n = snprintf(name, sizeof(name) - 1, "%s%s", below, e->d_name);
        if (e->d_name[0] == '.' || n < 0 || (size_t)n >= sizeof(name) - 1) continue;
        add_revision(repo, name, out);
        if (depth == 0) continue;
        strcat(name, "/");
        walk_refs(repo, name, depth - 1, out);
    }
    closedir(dir);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* "main, v1": at most 150 bytes; "" when there is none. */
static void list_revisions(const char *repo, char out[200])
{
    struct revisions revs = {.entries_left = ENTRIES_MAX};
    size_t len = 0;

    walk_refs(repo, "", REF_DEPTH_MAX, &revs);
    qsort(revs.names, (size_t)revs.n, sizeof(revs.names[0]), by_name);
    out[0] = '\0';
    for (int i = 0; i < revs.n; i++) {
        if (len + strlen(revs.names[i]) > 150) {
            snprintf(out + len, 200 - len, ", ...");
            return;
        }
        len += (size_t)snprintf(out + len, 200 - len, "%s%s", i ? ", " : "", revs.names[i]);
    }
}

void hub_advice(const struct hub_name *name, const char *what, char *out, size_t out_size)
{
    char said[sizeof(*name) + 2];
    const char *offline = hub_says_yes("HF_HUB_OFFLINE") ? "unset HF_HUB_OFFLINE and " : "";

    hub_name_print(name, said);
    snprintf(out, out_size, "%s%s: %s pull %s", offline, what, cli_program(), said);
}

static enum status not_there(const struct hub_name *name, const char *repo, struct error *err)
{
    char advice[400], there[200];

    hub_advice(name, "download it", advice, sizeof(advice));
    list_revisions(repo, there);
    if (there[0])
        return error_set_param(err, STATUS_NOT_FOUND, "model",
                               "the Hugging Face cache has %s of %s and not %.80s; %s", there,
                               name->repo, name->rev, advice);
    return error_set_param(
        err, STATUS_NOT_FOUND, "model",
        "no model of that name in the Hugging Face cache (%.200s has no snapshot "
        "of %.80s); %s",
        repo, name->rev, advice);
}

enum status hub_cache_find(const struct hub_name *name, char out[PATH_MAX], struct error *err)
{
    char repo[PATH_MAX], commit[HUB_COMMIT_LEN + 1] = "";
    struct stat info;
    enum status st = hub_cache_repo(name, repo, err);

    if (st != STATUS_OK) return st;
    if (!read_ref(repo, name->rev, commit) && hub_is_commit(name->rev))
        memcpy(commit, name->rev, sizeof(commit));
    int n = snprintf(out, PATH_MAX, "%s/snapshots/%s", repo, commit);
    if (n < 0 || n >= PATH_MAX) return error_set(err, STATUS_INVALID, "path too long: %s", repo);
    if (commit[0] && stat(out, &info) == 0 && S_ISDIR(info.st_mode)) return STATUS_OK;
    return not_there(name, repo, err);
}

bool hub_cache_guess(const char *name, struct hub_name *out)
{
    static const char begin[] = "models--";
    char root[PATH_MAX], text[sizeof(struct hub_name)];
    struct hub_name one;
    int n_found = 0, left = ENTRIES_MAX;
    DIR *dir = hub_cache_root(root, NULL) == STATUS_OK ? opendir(root) : NULL;

    if (!dir) return false;
    for (struct dirent *e; left > 0 && (e = readdir(dir)); left--) {
        const char *org = e->d_name + sizeof(begin) - 1;
        const char *gap =
            strncmp(e->d_name, begin, sizeof(begin) - 1) == 0 ? strstr(org, "--") : NULL;
        if (!gap || strcasecmp(gap + 2, name) != 0) continue;
        int n = snprintf(text, sizeof(text), "%.*s/%s", (int)(gap - org), org, gap + 2);
        if (n < 0 || (size_t)n >= sizeof(text) || !hub_name_parse(text, &one)) continue;
        n_found++;
        *out = one;
    }
    closedir(dir);
    return n_found == 1;
}
