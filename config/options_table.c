#include "config/options_table.h"

#include "config/base/check.h"
#include "config/limits.h"

#define AT(field) offsetof(struct options, field)
#define ROW(name_, kind_, field, ...)                                             \
    {                                                                             \
        .name = (name_), .kind = OPTION_##kind_, .offset = AT(field), __VA_ARGS__ \
    }

#define DAY           86400
#define KIB           INT64_C(1024)
#define MIB           (1024 * KIB)
#define GIB           (1024 * MIB)
#define SECTION(s)    .section = (s)
#define ARG(s)        .value_name = (s)
#define PRESET(s)     .preset = (s)
#define CHOICES(s)    .choices = (s)
#define RANGE(lo, hi) .min = (lo), .max = (hi)
#define HELP(s)       .help = (s)

#define MODEL   "Model"
#define ENGINE  "Engine and scheduler"
#define SERVER  "Server"
#define LOGGING "Logging"
#define OTHER   "Configuration"

const struct option_def option_table[] = {
    ROW("model", STRING, model, SECTION(MODEL), ARG("MODEL"),
        HELP("Hugging Face model directory, or ORG/NAME[@REV] as inferd pull has loaded it into "
             "the Hugging Face cache; also accepted without --model, as the first word. "
             "None: the demo model that comes with inferd.")),
    ROW("tokenizer", STRING, tokenizer, SECTION(MODEL), ARG("MODEL"),
        HELP("Directory or ORG/NAME[@REV] with the tokenizer's files, where it is not the model's "
             "own.")),
    ROW("served-model-name", LIST, served_model_name, SECTION(MODEL), ARG("NAME..."),
        HELP("Names that requests may use; the first is shown. Default: ORG/NAME, or the "
             "directory's own name; the model as given is always accepted.")),
    ROW("load-format", CHOICE, load_format, SECTION(MODEL), PRESET("auto"),
        CHOICES("auto|safetensors|dummy"),
        HELP("Where the weights come from; dummy makes random ones from config.json alone.")),
    ROW("dtype", CHOICE, dtype, SECTION(MODEL), PRESET("auto"), CHOICES("auto|float32|bfloat16"),
        .advice = "checkpoints in float16 load with auto, as float32",
        HELP("Type of the weights in memory; auto keeps the stored one.")),
    ROW("quantization", CHOICE, quantization, SECTION(MODEL), PRESET("none"),
        CHOICES("none|int8|int8-w8a16|int4"),
        .advice = "they are made from float checkpoints; quantized ones are not read yet",
        HELP("Made at load. int8: weights per channel, activations per token. int8-w8a16: the same "
             "weights, activations not quantised. int4: weights in groups of 128, lm_head and "
             "activations as int8.")),
    ROW("packed-cache-dir", STRING, packed_cache_dir, SECTION(MODEL), ARG("DIR"),
        HELP("Folder for the weights as they are in memory, so that later starts map them instead "
             "of "
             "making them again; one file as large as the weights for each model and quantization. "
             "None: nothing is written. No effect on dummy weights.")),
    ROW("kv-cache-dtype", CHOICE, kv_cache_dtype, SECTION(MODEL), PRESET("auto"),
        CHOICES("auto|float32|bfloat16|int8"),
        HELP("Type of the KV-cache; auto follows the weights. int8: a scale for each token and "
             "head.")),
    ROW("max-model-len", SIZE, max_model_len, SECTION(MODEL), ARG("N"), PRESET("0"),
        RANGE(0, LIMIT_CONTEXT),
        HELP("Longest prompt and answer together, in tokens; accepts 32k. 0: the model's own.")),
    ROW("seed", INT, seed, SECTION(MODEL), ARG("N"), PRESET("-1"), RANGE(-1, INT64_MAX),
        HELP("Seed of requests that bring none, and of dummy weights. -1: another at each start.")),
    ROW("chat-template", STRING, chat_template, SECTION(MODEL), ARG("FILE"),
        HELP("Jinja chat template instead of the model's.")),
    ROW("chat-template-content-format", CHOICE, chat_template_content_format, SECTION(MODEL),
        PRESET("auto"), CHOICES("auto|string|openai"),
        HELP("How message contents reach the template; auto: as the client sent them if it loops "
             "over "
             "their parts, else the texts joined by line breaks.")),
    ROW("generation-config", CHOICE, generation_config, SECTION(MODEL), PRESET("auto"),
        CHOICES("auto|vllm"),
        HELP("auto: defaults of sampling from the model's generation_config.json; vllm: none.")),

    ROW("device", CHOICE, device, SECTION(ENGINE), PRESET("auto"), CHOICES("auto|cpu|cuda"),
        HELP("Where the model runs. auto: a GPU where the plug-in and a GPU are found, else the "
             "CPU; "
             "the log says which and why.")),
    ROW("cuda-plugin", STRING, cuda_plugin, SECTION(ENGINE), ARG("FILE"),
        HELP("The plug-in for NVIDIA GPUs. Without it: libinferd-cuda.so beside the binary or in "
             "../lib/inferd.")),
    ROW("enforce-eager", BOOL, enforce_eager, SECTION(ENGINE), PRESET("false"),
        HELP("On a GPU: launch every step operator by operator instead of as a graph captured at "
             "the start. Slower; for finding faults.")),
    ROW("async-scheduling", BOOL, async_scheduling, SECTION(ENGINE), PRESET("true"),
        HELP("On a GPU: plan the next step while one runs. A stop is then seen one step late, at "
             "the "
             "price of a row; nothing of it shows in an answer.")),
    ROW("kernel-overlap", BOOL, kernel_overlap, SECTION(ENGINE), PRESET("true"),
        HELP("On a GPU of compute capability 9.0 or later: a kernel begins, and fetches weights, "
             "while the one ahead of it ends. The answers are the same; off to compare times, or "
             "to find faults.")),
    ROW("gpu-memory-utilization", SHARE, gpu_memory_utilization, SECTION(ENGINE), ARG("SHARE"),
        PRESET("0.9"), RANGE(5, 100),
        HELP("Share of the GPU's memory that weights, buffers and KV-cache may take, where "
             "--kv-cache-memory-bytes does not say it.")),
    ROW("cpu-isa", CHOICE, isa, SECTION(ENGINE), PRESET("auto"),
        CHOICES("auto|scalar|avx2|avx2_vnni|avx512|avx512_bf16"),
        HELP("Instruction set; auto takes the best here.")),
    ROW("threads", INT, threads, SECTION(ENGINE), ARG("N"), PRESET("0"), RANGE(0, 1024),
        HELP("CPU threads of the engine. 0: one for each core that the process may use.")),
    ROW("cpu-pinning", CHOICE, cpu_pinning, SECTION(ENGINE), PRESET("auto"), CHOICES("auto|on|off"),
        HELP("Give each thread of the engine a CPU, one of each core first. auto: when the process "
             "may use a part of the machine only, has no quota there, and its threads fill it; two "
             "servers that share their CPUs should say off.")),
    ROW("block-size", INT, block_size, SECTION(ENGINE), ARG("N"), PRESET("16"), RANGE(16, 128),
        HELP("Tokens in a KV-cache block: 16, 32, 64 or 128.")),
    ROW("max-num-seqs", INT, max_num_seqs, SECTION(ENGINE), ARG("N"), PRESET("256"), RANGE(1, 8192),
        HELP("Most sequences that run at one time.")),
    ROW("max-num-batched-tokens", SIZE, max_num_batched_tokens, SECTION(ENGINE), ARG("N"),
        PRESET("2048"), RANGE(16, 1 << 20), HELP("Most tokens in one step.")),
    ROW("kv-cache-memory-bytes", SIZE, kv_cache_memory_bytes, SECTION(ENGINE), ARG("SIZE"),
        PRESET("0"), RANGE(0, INT64_C(1) << 46),
        HELP("Memory of the KV-cache; accepts 4G, 512M. 0: what --max-num-seqs full contexts "
             "need, at most 40 % of the memory.")),
    ROW("enable-prefix-caching", BOOL, enable_prefix_caching, SECTION(ENGINE), PRESET("true"),
        HELP("Keep the KV-cache of finished requests for others with the same beginning.")),
    ROW("enable-chunked-prefill", BOOL, enable_chunked_prefill, SECTION(ENGINE), PRESET("true"),
        HELP("Let a prompt be computed in several steps, so that it holds up no one.")),
    ROW("scheduling-policy", CHOICE, scheduling_policy, SECTION(ENGINE), PRESET("fcfs"),
        CHOICES("fcfs|priority"), HELP("Order of admission.")),
    ROW("max-num-queued-reqs", INT, max_num_queued_reqs, SECTION(ENGINE), ARG("N"), PRESET("4096"),
        RANGE(1, 1 << 20), HELP("Most requests that wait; more are answered with 429.")),
    ROW("max-num-queued-tokens", SIZE, max_num_queued_tokens, SECTION(ENGINE), ARG("N"),
        PRESET("4194304"), RANGE(0, INT64_C(1) << 40),
        HELP("Most prompt tokens that wait; more are answered with 429. 0: no bound.")),
    ROW("max-logprobs", INT, max_logprobs, SECTION(ENGINE), ARG("N"), PRESET("20"),
        RANGE(0, LIMIT_LOGPROBS), HELP("Most alternatives with log-probabilities per token.")),
    ROW("request-timeout", SECONDS, request_timeout, SECTION(ENGINE), ARG("SECONDS"), PRESET("0"),
        RANGE(0, 30 * DAY), HELP("A request ends after this long. 0: never.")),
    ROW("watchdog-timeout", SECONDS, watchdog_timeout, SECTION(ENGINE), ARG("SECONDS"),
        PRESET("30"), RANGE(1, DAY),
        HELP("A step that takes longer makes /health/ready answer 503.")),

    ROW("host", STRING, host, SECTION(SERVER), ARG("ADDRESS"), PRESET("127.0.0.1"),
        HELP("Address to listen on; 0.0.0.0 or :: for all (then also set --api-key).")),
    ROW("port", INT, port, SECTION(SERVER), ARG("N"), PRESET("8000"), RANGE(0, 65535),
        HELP("Port to listen on. 0: any free one, printed at the start.")),
    ROW("ready-fd", INT, ready_fd, SECTION(SERVER), ARG("N"), PRESET("0"), RANGE(0, 1 << 20),
        HELP("Open descriptor to which the address is written when the server is ready, as one "
             "line such as http://127.0.0.1:8000, and which is then closed; nothing is said on "
             "standard error instead. For supervisors (s6, a parent process). 0: none.")),
    ROW("api-key", LIST, api_key, SECTION(SERVER), ARG("KEY..."), .secret = true,
        HELP("Keys of which a request must bring one; none: open to all. Other users of the "
             "machine can read a command line: prefer --api-key-file.")),
    ROW("api-key-file", STRING, api_key_file, SECTION(SERVER), ARG("FILE"),
        HELP("One key on each line; lines that start with # are comments.")),
    ROW("max-connections", INT, max_connections, SECTION(SERVER), ARG("N"), PRESET("8192"),
        RANGE(1, 1 << 20), HELP("Most open connections.")),
    ROW("max-body-size", SIZE, max_body_size, SECTION(SERVER), ARG("SIZE"), PRESET("32M"),
        RANGE(KIB, 256 * MIB), HELP("Largest request body; accepts 32M.")),
    ROW("max-header-size", SIZE, max_header_size, SECTION(SERVER), ARG("SIZE"), PRESET("32K"),
        RANGE(4 * KIB, MIB), HELP("Largest request line and headers together.")),
    ROW("idle-timeout", SECONDS, idle_timeout, SECTION(SERVER), ARG("SECONDS"), PRESET("75"),
        RANGE(1, DAY), HELP("A connection without a request is closed after this long.")),
    ROW("header-timeout", SECONDS, header_timeout, SECTION(SERVER), ARG("SECONDS"), PRESET("30"),
        RANGE(1, DAY), HELP("Time for a request to arrive whole.")),
    ROW("shutdown-timeout", SECONDS, shutdown_timeout, SECTION(SERVER), ARG("SECONDS"),
        PRESET("30"), RANGE(0, DAY), HELP("Time for running requests to end after SIGTERM.")),
    ROW("max-prompt-batch", INT, max_prompt_batch, SECTION(SERVER), ARG("N"), PRESET("2048"),
        RANGE(1, LIMIT_BATCH_PROMPTS), HELP("Most prompts in one completion request.")),
    ROW("max-n", INT, max_n, SECTION(SERVER), ARG("N"), PRESET("128"), RANGE(1, LIMIT_N),
        HELP("Largest n of a request.")),
    ROW("max-stop-strings", INT, max_stop_strings, SECTION(SERVER), ARG("N"), PRESET("16"),
        RANGE(0, LIMIT_STOP_STRINGS), HELP("Most stop strings of a request.")),
    ROW("root-path", STRING, root_path, SECTION(SERVER), ARG("PATH"), PRESET(""),
        HELP("Prefix that a proxy leaves in front of the paths, such as /llm.")),
    ROW("allowed-origins", LIST, allowed_origins, SECTION(SERVER), ARG("ORIGIN..."),
        HELP("Web origins that browsers may call from, or *. None: no CORS headers.")),
    ROW("allowed-hosts", LIST, allowed_hosts, SECTION(SERVER), ARG("NAME..."),
        HELP("Other names than localhost that this server is called by, where it listens on this "
             "machine alone and without keys: a page could point a name of its own here. *: any.")),
    ROW("disable-metrics", BOOL, disable_metrics, SECTION(SERVER), PRESET("false"),
        HELP("Do not serve /metrics.")),
    ROW("web", BOOL, web, SECTION(SERVER), PRESET("true"),
        HELP("Serve the web page at / and the live view that it shows.")),

    ROW("log-level", CHOICE, log_level, SECTION(LOGGING), PRESET("info"),
        CHOICES("debug|info|warning|error"), HELP("Least important lines to write.")),
    ROW("log-format", CHOICE, log_format, SECTION(LOGGING), PRESET("text"), CHOICES("text|json"),
        HELP("One line of key=value pairs, or one JSON object, for each event.")),
    ROW("log-requests", BOOL, log_requests, SECTION(LOGGING), PRESET("true"),
        HELP("One line for each request, at its end.")),

    {.name = "config",
     .kind = OPTION_CONFIG,
     SECTION(OTHER),
     ARG("FILE"),
     HELP("YAML file with any of these options, names as above without the dashes.")},
};
const int option_table_len = (int)ARRAY_LEN(option_table);
_Static_assert(ARRAY_LEN(option_table) <= OPTION_MAX, "raise OPTION_MAX");

#define NOT_YET "is not implemented yet; leave it out"
#define ONE_PROCESS \
    "is not implemented yet: inferd runs in one process; leave it out or set it to 1"
#define PROXY     "is not implemented: put a TLS proxy in front"
#define NO_CODE   "is refused: inferd never runs code that comes with a model"
#define REVISION  "is not an option: write it behind the name, such as ORG/NAME@REV"
#define NO_LORA   "is not implemented yet: LoRA adapters cannot be served; merge it into the weights"
#define NO_TOOLS  "is not implemented yet: tool calls are not parsed; leave it out"
#define NO_VISION "is not implemented: only text models are served; leave it out"

const struct option_foreign option_foreign_table[] = {
    {"tensor-parallel-size", "1", ONE_PROCESS},
    {"pipeline-parallel-size", "1", ONE_PROCESS},
    {"data-parallel-size", "1", ONE_PROCESS},
    {"decode-context-parallel-size", "1", ONE_PROCESS},
    {"api-server-count", "1", ONE_PROCESS},
    {"enable-expert-parallel", "false", ONE_PROCESS},
    {"distributed-executor-backend", NULL, ONE_PROCESS},
    {"num-gpu-blocks-override", NULL,
     "is not implemented: give the KV-cache a size by --kv-cache-memory-bytes, such as 4G"},
    {"swap-space", "0", "is not implemented: preempted requests are computed again, not swapped"},
    {"cpu-offload-gb", "0", NOT_YET},
    {"enable-lora", "false", NO_LORA},
    {"lora-modules", NULL, NO_LORA},
    {"max-loras", NULL, NO_LORA},
    {"max-lora-rank", NULL, NO_LORA},
    {"speculative-config", NULL, "is not implemented yet: no speculative decoding; leave it out"},
    {"enable-auto-tool-choice", "false", NO_TOOLS},
    {"tool-call-parser", NULL, NO_TOOLS},
    {"reasoning-parser", NULL, "is not implemented yet: reasoning is left in the text"},
    {"structured-outputs-config", NULL, NOT_YET},
    {"guided-decoding-backend", NULL, NOT_YET},
    {"limit-mm-per-prompt", NULL, NO_VISION},
    {"allowed-local-media-path", NULL, NO_VISION},
    {"trust-remote-code", "false", NO_CODE},
    {"trust-request-chat-template", "false", NO_CODE},
    {"revision", NULL, REVISION},
    {"tokenizer-revision", NULL, REVISION},
    {"download-dir", NULL,
     "is not an option: the Hugging Face cache is where HF_HOME or HF_HUB_CACHE says"},
    {"hf-token", NULL,
     "is not an option: inferd pull takes the token from HF_TOKEN or a file ($HF_HOME/token)"},
    {"hf-overrides", NULL, "is not implemented: edit a copy of config.json instead"},
    {"rope-scaling", NULL, "is not implemented: edit a copy of config.json instead"},
    {"rope-theta", NULL, "is not implemented: edit a copy of config.json instead"},
    {"tokenizer-mode", "auto",
     "is not implemented: the files in the directory decide (docs/tokenizers.md)"},
    {"skip-tokenizer-init", "false", "is not implemented: the server needs the tokenizer"},
    {"runner", "generate", "is not implemented yet: models generate text and nothing else"},
    {"task", "generate", "is not implemented yet: models generate text and nothing else"},
    {"compilation-config", NULL, "has no meaning here: nothing is compiled at start; leave it out"},
    {"num-scheduler-steps", "1", NOT_YET},
    {"max-num-partial-prefills", NULL, NOT_YET},
    {"long-prefill-token-threshold", "0", NOT_YET},
    {"kv-transfer-config", NULL, NOT_YET},
    {"kv-events-config", NULL, NOT_YET},
    {"prefix-caching-hash-algo", NULL, "has no meaning here: blocks are compared token by token"},
    {"ssl-keyfile", NULL, PROXY},
    {"ssl-certfile", NULL, PROXY},
    {"ssl-ca-certs", NULL, PROXY},
    {"uds", NULL, "is not implemented: listen on --host and --port"},
    {"allow-credentials", "false", NOT_YET},
    {"allowed-methods", NULL, NOT_YET},
    {"allowed-headers", NULL, NOT_YET},
    {"middleware", NULL, NO_CODE},
    {"response-role", "assistant", "is not implemented: answers have the role assistant"},
    {"return-tokens-as-token-ids", "false",
     "is not implemented: requests may set return_token_ids"},
    {"enable-log-requests", NULL, "is called --log-requests here, and is on"},
    {"disable-log-requests", NULL, "is called --no-log-requests here"},
    {"disable-uvicorn-access-log", NULL, "is called --no-log-requests here"},
    {"disable-log-stats", NULL, "has no meaning here: see --disable-metrics"},
    {"uvicorn-log-level", NULL, "is called --log-level here"},
    {"max-log-len", NULL, "has no meaning here: prompts are never logged"},
    {"otlp-traces-endpoint", NULL, NOT_YET},
    {"ctx-size", NULL, "is called --max-model-len here"},
    {"parallel", NULL, "is called --max-num-seqs here"},
    {"n-gpu-layers", NULL, "is not implemented: a model is on one device, see --device"},
    {"version", NULL, "belongs directly behind the program's name: inferd --version"},
};
const int option_foreign_table_len = (int)ARRAY_LEN(option_foreign_table);
