#ifndef CONFIG_LIMITS_H
#define CONFIG_LIMITS_H

/* limits.h - every cap that is not an option, with its reason. */

/* --- requests --- */
#define LIMIT_LOGPROBS        20   /* OpenAI: top_logprobs <= 20; --max-logprobs may lower it */
#define LIMIT_STOP_STRINGS    16   /* OpenAI allows 4; vLLM users send more */
#define LIMIT_STOP_STRING_LEN 1024 /* bytes: bounds what is held back of a stream */
#define LIMIT_STOP_IDS        64
#define LIMIT_EOS_IDS         16
#define LIMIT_LOGIT_BIAS      1024 /* OpenAI documents 300 entries (older 1024) */
#define LIMIT_N               128  /* OpenAI: n <= 128 */
#define LIMIT_CACHE_SALT      1024 /* vLLM: 1..1024 characters */
#define LIMIT_BATCH_PROMPTS   2048 /* OpenAI embeddings' batch limit; completions say nothing */
#define LIMIT_REQUEST_ID_LEN  128
#define LIMIT_BODIES_SIZE \
    (1u << 30) /* of all open requests together: 8,192 connections of 32 \
                                         * MiB each would be 256 GiB */
#define LIMIT_REQUEST_VALUES \
    (2 << 20) /* JSON values of a body: a million token ids and as many \
                                         * more; 160 MB while they are read */
#define LIMIT_PROMPT_LOGPROBS \
    (4 << 20) /* log-probabilities of prompt tokens in an answer, some 30 bytes each: 20 \
               * alternatives for every token of a 131,072-token prompt are 2.75 million */
#define LIMIT_ANSWER_SIZE \
    (256u << 20) /* an answer that is not streamed is kept until it is whole */

#define LIMIT_VIEWERS 16 /* of /live: people at a screen; each gets some 20 KB ten times a second */

/* --- files and JSON --- */
#define LIMIT_JSON_SIZE          (256u << 20) /* tokenizer.json files reach 35 MB */
#define LIMIT_JSON_DEPTH         128          /* cJSON recurses; 128 frames fit any stack */
#define LIMIT_SAFETENSORS_HEADER (100u << 20) /* the format's own cap */
#define LIMIT_TENSORS            100000

/* --- packed weights --- */
#define LIMIT_PACKED_FILES   16 /* in a folder: models times quantisations that are in use */
#define LIMIT_PACKED_RESERVE (64u << 20) /* bytes of the disk that stay free */

/* --- model shapes: keep every product inside int64 and every index inside int32 --- */
#define LIMIT_LAYERS   1024
#define LIMIT_WIDTH    (1 << 20)
#define LIMIT_HEADS    1024
#define LIMIT_HEAD_DIM 512
#define LIMIT_VOCAB    (1 << 22)
#define LIMIT_CONTEXT  (1 << 24)

/* --- templates --- */
#define LIMIT_TEMPLATE_SIZE   (1u << 20)
#define LIMIT_TEMPLATE_STEPS  10000000 /* evaluated nodes in one rendering */
#define LIMIT_TEMPLATE_DEPTH  200
#define LIMIT_TEMPLATE_OUTPUT (64u << 20)

/* --- inferd pull: what it takes from a hub --- */
#define LIMIT_HUB_URL            4096 /* addresses with a CDN's signature have some 1,500 bytes */
#define LIMIT_HUB_TOKEN          1024 /* tokens have 37 bytes */
#define LIMIT_HUB_PATH           512  /* of a file in a repository */
#define LIMIT_HUB_FILES          5000 /* that are needed; the largest models have 200 shards */
#define LIMIT_HUB_LISTING        (32u << 20) /* 100,000 files of 300 bytes */
#define LIMIT_HUB_LISTING_VALUES 2000000
#define LIMIT_HUB_JOBS           16          /* files at one time */
#define LIMIT_HUB_TRIES          5           /* without a new byte */
#define LIMIT_HUB_WAIT_S         300         /* of a Retry-After */
#define LIMIT_HUB_RESERVE        (64u << 20) /* bytes of the disk that stay free */

/* --- the chat client: what it takes from a server, a person or a file --- */
#define LIMIT_CHAT_EVENT (1u << 20) /* one event of a stream: a token's is some 300 bytes */
#define LIMIT_CHAT_ANSWER \
    (8u                   \
     << 20) /* text of one answer: a million tokens of 8 bytes, eight times the longest context */
#define LIMIT_CHAT_CONVERSATION \
    (24u << 20)                         /* all messages: as JSON within --max-body-size's default */
#define LIMIT_CHAT_INPUT    (16u << 20) /* one message of a file or a pipe */
#define LIMIT_CHAT_LINE     (256u << 10) /* one message that is typed or pasted */
#define LIMIT_CHAT_MESSAGES 10000
#define LIMIT_CHAT_REFUSAL  (64u << 10) /* of an answer that is no stream: an error */
#define LIMIT_CHAT_MODELS   (4u << 20)  /* /v1/models: those of large providers have 1 MB */
#define LIMIT_CHAT_HISTORY  1000        /* lines that the arrow keys reach */
#define LIMIT_CHAT_HISTORY_SIZE \
    (1u << 20) /* of the history's file; the older half goes when it is full */

#endif
