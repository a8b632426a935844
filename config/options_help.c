#include "config/options_table.h"

#include <string.h>

#define WRAP_COLUMN 96
#define INDENT      8

static void describe_value(const struct option_def *d, char *out, size_t out_size)
{
    if (d->kind == OPTION_BOOL) {
        out[0] = '\0';
    } else if (d->choices) {
        snprintf(out, out_size, " {%s}", d->choices);
    } else {
        snprintf(out, out_size, " %s", d->value_name);
    }
}

static const char *describe_default(const struct option_def *d)
{
    return d->preset && *d->preset ? d->preset : "none";
}

/* Words of `text` in lines of at most WRAP_COLUMN, each indented. */
static void print_wrapped(FILE *f, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column == 0 || column + 1 + n > WRAP_COLUMN) {
            fprintf(f, "%s%*s", column ? "\n" : "", INDENT, "");
            column = INDENT;
        } else {
            fputc(' ', f);
            column++;
        }
        fwrite(text, 1, n, f);
        column += n;
        text += n + (text[n] == ' ');
    }
    fputc('\n', f);
}

static void print_option(FILE *f, const struct option_def *d)
{
    char value[96], env[80], text[640];
    describe_value(d, value, sizeof(value));
    option_env_name(d, env, sizeof(env));
    if (d->kind == OPTION_BOOL) {
        fprintf(f, "  --%s, --no-%s\n", d->name, d->name);
    } else {
        fprintf(f, "  --%s%s\n", d->name, value);
    }
    snprintf(text, sizeof(text), "%s [default: %s; INFERD_%s]", d->help, describe_default(d), env);
    print_wrapped(f, text);
}

static const char help_row[] = "  -h, --help\n        This text.\n";

static void print_sources(FILE *f)
{
    fputs("Options are taken from the command line, then from the environment, then from the\n"
          "--config file, then from the defaults. --name VALUE and --name=VALUE are the same, and\n"
          "so are - and _ in names. Sizes and token counts take K, M, G, T (powers of 1024) and\n"
          "k, m, g, t (powers of 1000). Lists: several words after the option, commas in the\n"
          "environment, a YAML list in the file.\n",
          f);
}

void options_print_named(FILE *f, const char *const *names)
{
    for (; *names; names++) print_option(f, option_find(*names, strlen(*names)));
    fputs(help_row, f);
    fputc('\n', f);
    print_sources(f);
}

void options_print_rows(FILE *f, const char *without_section)
{
    print_sources(f);
    const char *section = "";
    for (int i = 0; i < option_table_len; i++) {
        const struct option_def *d = &option_table[i];
        if (strcmp(without_section, d->section) == 0) continue;
        if (strcmp(section, d->section) != 0) fprintf(f, "\n%s:\n", d->section);
        section = d->section;
        print_option(f, d);
    }
    fputs(help_row, f);
}

void options_print_help(FILE *f)
{
    fputs(
        "usage: inferd serve [MODEL] [options]\n\n"
        "Serves a model by an OpenAI-compatible API. MODEL is a Hugging Face model directory, or\n"
        "ORG/NAME[@REV] as inferd pull has loaded it; without MODEL it is the demo model that\n"
        "comes with inferd.\n\n",
        f);
    options_print_rows(f, "");
    fputs(
        "\nexamples:\n"
        "  inferd serve ./Qwen2.5-0.5B-Instruct\n"
        "  inferd serve ./model --host 0.0.0.0 --api-key-file keys.txt --max-num-seqs 64\n"
        "  INFERD_PORT=9000 inferd serve ./model --quantization int8 --kv-cache-memory-bytes 4G\n",
        f);
}

/* A "|" in a table cell must be escaped. */
static void print_cell(FILE *f, const char *text)
{
    for (; *text; text++) fprintf(f, *text == '|' ? "\\%c" : "%c", *text);
}

void options_print_markdown(FILE *f)
{
    const char *section = "";
    for (int i = 0; i < option_table_len; i++) {
        const struct option_def *d = &option_table[i];
        char value[96], env[80];
        if (strcmp(section, d->section) != 0)
            fprintf(f,
                    "%s## %s\n\n| option | default | environment | meaning |\n|---|---|---|---|\n",
                    i ? "\n" : "", d->section);
        section = d->section;
        describe_value(d, value, sizeof(value));
        option_env_name(d, env, sizeof(env));
        fprintf(f, "| `--%s", d->name);
        print_cell(f, value);
        fprintf(f, "` | %s%s%s | `INFERD_%s` | ", d->preset ? "`" : "",
                d->preset ? (*d->preset ? d->preset : "\"\"") : "none", d->preset ? "`" : "", env);
        print_cell(f, d->help);
        fputs(" |\n", f);
    }
}
