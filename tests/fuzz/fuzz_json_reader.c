/* What json_parse accepts, json_reader walks: every key, string and number as in the tree; and parts
 * kept as text come back as the tree that they would have been. */
#include "config/base/check.h"
#include "config/base/json.h"
#include "config/base/json_reader.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct json_reader *r, const cJSON *item);

static void walk_object(struct json_reader *r, const cJSON *object)
{
    struct str key;
    for (const cJSON *c = object->child; c; c = c->next) {
        CHECK(json_next_member(r, &key));
        CHECK(str_eq(key, str_from(c->string)));
        walk(r, c);
    }
    CHECK(!json_next_member(r, &key));
}

static void walk_array(struct json_reader *r, const cJSON *array)
{
    for (const cJSON *c = array->child; c; c = c->next) {
        CHECK(json_next_item(r));
        walk(r, c);
    }
    CHECK(!json_next_item(r));
}

static void check_scalar(struct str value, const cJSON *item)
{
    struct strbuf buffer;
    struct str text;
    int64_t a = 0, b = 0;
    strbuf_init(&buffer, 0);
    CHECK(json_value_string(value, &buffer, &text) == cJSON_IsString(item));
    if (cJSON_IsString(item)) CHECK(str_eq(text, str_from(item->valuestring)));
    bool whole = json_as_i64(item, INT64_MIN, INT64_MAX, &a);
    if (value.len < 60) CHECK(json_value_i64(value, INT64_MIN, INT64_MAX, &b) == whole && a == b);
    strbuf_free(&buffer);
}

static void walk(struct json_reader *r, const cJSON *item)
{
    if (cJSON_IsObject(item)) {
        struct json_reader ahead = *r; /* stepping over and into must end at one place */
        ahead.key = (struct strbuf){0};
        (void)json_value(&ahead);
        CHECK(json_enter(r, '{'));
        walk_object(r, item);
        CHECK(r->p == ahead.p);
    } else if (cJSON_IsArray(item)) {
        CHECK(!json_enter(r, '{') && json_enter(r, '['));
        walk_array(r, item);
    } else {
        check_scalar(json_value(r), item);
    }
}

static void compare_raw(const char *text, size_t len, const cJSON *whole)
{
    static const char *const parts[] = {"a.b", "model.vocab", "a.a", NULL};
    const struct json_limits limits = {.raw_parts = parts};
    struct error err;
    cJSON *tree = NULL;
    CHECK(json_parse(text, len, &limits, &tree, &err) == STATUS_OK);
    for (cJSON *object = tree->child; object; object = object->next) {
        if (!cJSON_IsObject(object)) continue;
        for (cJSON *item = object->child; item; item = item->next) {
            if (!cJSON_IsRaw(item)) continue;
            struct str raw = json_raw_text(item);
            cJSON *part = NULL;
            CHECK(json_parse(raw.data, raw.len, NULL, &part, &err) == STATUS_OK);
            CHECK(cJSON_Compare(part, json_get(json_get(whole, object->string), item->string), 1));
            cJSON_Delete(part);
            item->type = cJSON_NULL;
        }
    }
    cJSON_Delete(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct error err;
    cJSON *tree = NULL;
    if (json_parse(text, size, NULL, &tree, &err) == STATUS_OK) {
        struct json_reader r;
        json_reader_init(&r, (struct str){text, size});
        walk(&r, tree);
        json_reader_free(&r);
        compare_raw(text, size, tree);
        cJSON_Delete(tree);
    } else { /* unchecked text: nothing but an end is promised */
        struct json_reader r;
        struct str key;
        json_reader_init(&r, (struct str){text, size});
        if (json_enter(&r, '{'))
            while (json_next_member(&r, &key)) (void)json_value(&r);
        json_reader_free(&r);
    }
    return 0;
}
