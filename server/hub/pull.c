#include "server/hub/pull.h"

#include "config/base/file.h"
#include "config/base/str.h"
#include "config/limits.h"
#include "engine/load/safetensors_file.h"
#include "server/cli.h"
#include "server/hub/download.h"
#include "server/model_dir.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_JOBS 4

static const char usage[] =
    "usage: inferd pull ORG/NAME[@REV] [options]\n\n"
    "Downloads a model from a Hugging Face hub into the Hugging Face cache, where inferd serve\n"
    "ORG/NAME and every other program finds it, and prints the directory. Only what is needed to\n"
    "serve it is loaded: configuration, tokenizer, chat templates, safetensors. A download that "
    "was\n"
    "cut off goes on where it stopped; sums are checked before anything becomes visible.\n\n"
    "  --jobs N    files that are loaded at one time, 1 to 16 [default: 4]\n"
    "  --quiet     no progress, errors alone\n"
    "  --dry-run   say what would be loaded, and load nothing\n"
    "  --help      print this\n\n"
    "REV is a branch, a tag, a commit or refs/pr/N [default: main]. The address of a model's page\n"
    "will do as well: https://huggingface.co/ORG/NAME.\n\n"
    "Environment, as huggingface_hub has it: HF_TOKEN (or the file $HF_HOME/token) for what is\n"
    "private or has terms, HF_ENDPOINT for another hub, HF_HOME or HF_HUB_CACHE for where the "
    "cache\n"
    "is, HF_HUB_OFFLINE=1 to ask no server, HF_HUB_DOWNLOAD_TIMEOUT for seconds without a byte.\n\n"
    "Example: inferd pull Qwen/Qwen3-0.6B && inferd serve Qwen/Qwen3-0.6B\n";

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

struct pull {
    struct hub_name name;
    int n_jobs;
    bool quiet, dry_run, help;

    struct hub_remote remote;
    struct hub_store store;
    struct hub_progress progress;
    struct hub_listing listing;
    struct hub_files files;
    struct hub_download download;
};

/* --- the command line ------------------------------------------------------------------------- */

static enum status set_jobs(struct pull *p, const char *text, struct error *err)
{
    int64_t n;
    if (!text || !parse_i64(text, &n) || n < 1 || n > LIMIT_HUB_JOBS)
        return error_set(err, STATUS_INVALID, "--jobs must be 1 to %d, not \"%.40s\"",
                         LIMIT_HUB_JOBS, text ? text : "");
    p->n_jobs = (int)n;
    return STATUS_OK;
}

static enum status take_name(struct pull *p, const char *text, struct error *err)
{
    if (p->name.repo[0])
        return error_set(err, STATUS_INVALID, "one model at a time: \"%.100s\" beside %s", text,
                         p->name.repo);
    if (hub_name_parse(text, &p->name) || hub_name_from_url(text, &p->name)) return STATUS_OK;
    p->name.repo[0] = '\0';
    const char *hint = "";
    if (strstr(text, "://"))
        hint = "; HF_ENDPOINT names another hub than huggingface.co";
    else if (strchr(text, ':'))
        hint = "; Ollama's names are others: look for it at huggingface.co";
    return error_set(err, STATUS_INVALID,
                     "\"%.200s\" is no name of a model: write it as ORG/NAME or ORG/NAME@REV, such "
                     "as Qwen/Qwen3-0.6B%s",
                     text, hint);
}

static enum status read_arguments(struct pull *p, int argc, char **argv, struct error *err)
{
    enum status st = STATUS_OK;
    p->n_jobs = DEFAULT_JOBS;
    for (int i = 0; i < argc && st == STATUS_OK; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
            p->help = true;
        else if (strcmp(arg, "--quiet") == 0)
            p->quiet = true;
        else if (strcmp(arg, "--dry-run") == 0)
            p->dry_run = true;
        else if (strcmp(arg, "--jobs") == 0)
            st = set_jobs(p, i + 1 < argc ? argv[++i] : NULL, err);
        else if (strncmp(arg, "--jobs=", 7) == 0)
            st = set_jobs(p, arg + 7, err);
        else if (arg[0] == '-')
            st = error_set(
                err, STATUS_INVALID,
                "no option \"%.100s\": there are --jobs N, --quiet, --dry-run and --help", arg);
        else
            st = take_name(p, arg, err);
    }
    if (st == STATUS_OK && !p->help && !p->name.repo[0])
        st = error_set(err, STATUS_INVALID, "which model? inferd pull ORG/NAME; see --help");
    return st;
}

/* --- the steps -------------------------------------------------------------------------------- */

static enum status offline(struct pull *p, char dir[PATH_MAX], struct error *err)
{
    enum status st = hub_cache_find(&p->name, dir, err);
    if (st != STATUS_OK) return error_prepend(err, "%s", p->name.repo);
    return model_dir_check(dir, &p->name, err);
}

static enum status ask_listing(struct pull *p, struct error *err)
{
    struct strbuf text;
    char shown[200];
    char *url = hub_remote_listing_url(&p->remote, &p->name);
    if (!url) return error_set(err, STATUS_NO_MEMORY, "no memory for an address");
    hub_url_shown(url, shown, sizeof(shown));
    enum status st = hub_download_text(&p->download, url, NULL, LIMIT_HUB_LISTING, &text, err);
    if (st == STATUS_OK) {
        st = hub_listing_parse(text.data ? text.data : "", text.len, &p->listing, err);
        if (st != STATUS_OK) error_prepend(err, "%s", shown);
    }
    strbuf_free(&text);
    free(url);
    return st;
}

/* The index of the shards: loaded like the other files, or into memory when nothing is to be written. */
static enum status read_index(struct pull *p, struct strbuf *text, struct error *err)
{
    const struct hub_file *index = &p->files.items[p->files.n - 1];
    char path[PATH_MAX], *data = NULL;
    size_t len = 0;
    enum status st = STATUS_OK;

    strbuf_init(text, LIMIT_JSON_SIZE);
    if (index->size > LIMIT_HUB_LISTING)
        return error_set(err, STATUS_TOO_LARGE, SAFETENSORS_INDEX " is larger than %u MB",
                         LIMIT_HUB_LISTING >> 20);
    if (p->dry_run && !hub_store_has_file(&p->store, index)) {
        char *url = hub_remote_file_url(&p->remote, p->name.repo, p->listing.sha, index->path);
        if (!url) return error_set(err, STATUS_NO_MEMORY, "no memory for an address");
        st = hub_download_text(&p->download, url, index->path, LIMIT_HUB_LISTING, text, err);
        free(url);
        return st;
    }
    if (!p->dry_run) st = hub_download_files(&p->download, index, 1, err);
    if (st == STATUS_OK) st = path_join(path, sizeof(path), p->store.snapshot, index->path, err);
    if (st == STATUS_OK) st = file_read(path, LIMIT_HUB_LISTING, &data, &len, err);
    if (st == STATUS_OK) strbuf_add(text, data, len);
    free(data);
    if (st == STATUS_OK && text->failed) st = error_set(err, STATUS_NO_MEMORY, "no memory");
    return st;
}

static enum status choose(struct pull *p, struct error *err)
{
    struct strbuf text;
    bool sharded = false;
    enum status st = hub_listing_choose(&p->listing, &p->files, &sharded, err);
    if (st != STATUS_OK) return error_prepend(err, "%s", p->name.repo);
    if (!sharded) return STATUS_OK;
    st = read_index(p, &text, err);
    if (st == STATUS_OK)
        st = hub_listing_add_shards(&p->listing, text.data ? text.data : "", text.len, &p->files,
                                    err);
    strbuf_free(&text);
    return st;
}

static void print_plan(const struct pull *p)
{
    int64_t sum = 0;
    char size[24];
    for (size_t i = 0; i < p->files.n; i++) {
        const struct hub_file *f = &p->files.items[i];
        if (hub_store_has_file(&p->store, f)) continue;
        hub_size_shown(f->size, size);
        printf("%10s  %s\n", size, f->path);
        sum += f->size;
    }
    hub_size_shown(sum, size);
    printf("%10s  in all\n", size);
}

static enum status pull_model(struct pull *p, char dir[PATH_MAX], struct error *err)
{
    enum status st = hub_remote_init(&p->remote, err);
    hub_progress_begin(&p->progress, p->quiet);
    p->download = (struct hub_download){.remote = &p->remote,
                                        .name = &p->name,
                                        .store = &p->store,
                                        .progress = &p->progress,
                                        .sha = p->listing.sha,
                                        .n_jobs = p->n_jobs,
                                        .stop = &stopped};
    if (st == STATUS_OK) st = ask_listing(p, err);
    if (st == STATUS_OK) st = hub_store_init(&p->store, &p->name, p->listing.sha, err);
    if (st == STATUS_OK) st = choose(p, err);
    if (st == STATUS_OK && !p->dry_run) {
        st = hub_download_files(&p->download, p->files.items, p->files.n, err);
        if (st == STATUS_OK) st = hub_store_set_ref(&p->store, p->name.rev, p->listing.sha, err);
    }
    hub_progress_end(&p->progress, st == STATUS_OK && !p->dry_run);
    if (st == STATUS_OK) snprintf(dir, PATH_MAX, "%s", p->store.snapshot);
    return st;
}

static void catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

int pull_main(int argc, char **argv)
{
    struct error err = {.code = STATUS_OK};
    struct pull p = {.n_jobs = DEFAULT_JOBS};
    char dir[PATH_MAX] = "";

    if (read_arguments(&p, argc, argv, &err) != STATUS_OK) {
        cli_print_error("pull", &err);
        return 2;
    }
    if (p.help) return fputs(usage, stdout) < 0 || fflush(stdout) != 0;
    catch_signals();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum status st =
        hub_says_yes("HF_HUB_OFFLINE") ? offline(&p, dir, &err) : pull_model(&p, dir, &err);
    if (st == STATUS_CANCELLED && !p.dry_run)
        error_set(&err, st, "interrupted; the same command goes on where it stopped");
    if (st != STATUS_OK) {
        cli_print_error("pull", &err);
    } else {
        if (p.dry_run && p.listing.root)
            print_plan(&p);
        else
            printf("%s\n", dir);
        if (fflush(stdout) != 0) st = STATUS_IO;
    }
    hub_files_free(&p.files);
    hub_listing_free(&p.listing);
    curl_global_cleanup();
    if (st == STATUS_CANCELLED) return 130;
    return st == STATUS_OK ? 0 : 1;
}
