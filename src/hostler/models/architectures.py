"""What llama.cpp knows of an architecture and its files do not say.

Source: llama.cpp (``LLM_ARCH_NAMES``, ``load_arch_hparams`` of each model, ``llama_model::create_memory``).
"""

from __future__ import annotations

#: Every Nth layer attends to everything; True: the first of each N instead of the last.
WINDOW_PERIOD: dict[str, tuple[int, bool]] = {
    "afmoe": (4, False),
    "cohere2": (4, False),
    "cohere2moe": (4, True),
    "exaone-moe": (4, False),
    "exaone4": (4, False),
    "gemma2": (2, False),
    "gemma3": (6, False),
    "gemma3n": (5, False),
    "gpt-oss": (2, False),
    "gptoss": (2, False),
    "laguna": (4, True),
    "llama4": (4, False),
    "mellum": (4, False),
    "muse-glimmer": (4, False),
    "olmo2": (4, False),
    "plamo3": (8, False),
    "smallthinker": (4, True),
}

#: The header says for each layer whether it is windowed.
WINDOW_BY_PATTERN = frozenset({"gemma4", "granite_swa", "lfm2", "mimo2", "step35"})

#: The engine's own number wins over the header's (which only says whether there is a window at all).
FIXED_WINDOW = {"llama4": 8192, "smallthinker": 4096}

#: Every layer is recurrent.
ALL_RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})

#: Layers without heads for keys are recurrent.
RECURRENT_WITHOUT_KV = frozenset(
    {
        "bailingmoe3",
        "granitehybrid",
        "jamba",
        "kimi-k3",
        "kimi-linear",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "plamo2",
    }
)

#: Every Nth layer attends, the others are recurrent; `full_attention_interval` may say another N.
FULL_EVERY = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "minimax-01": 8, "falcon-h1": 0}

#: No cache at all.
ENCODERS = frozenset(
    {
        "bert",
        "dream",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llada",
        "llada-moe",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "rnd1",
        "wavtokenizer-dec",
    }
)

#: Sparse attention with an indexer that has a cache of its own.
WITH_INDEXER = frozenset({"deepseek32", "glm-dsa"})

_PLAIN = """
    apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell cogvlm command-r dbrx
    deci deepseek deepseek2 deepseek2-ocr dots1 ernie4_5 ernie4_5-moe exaone falcon gemma glm4 glm4moe gpt2 gptj gptneox
    granite granitemoe grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl internlm2 jais jais2 llama llama-embed
    maincoder minicpm minicpm3 minimax-m2 mistral3 mistral4 mpt nanbeige nemotron olmo olmoe openelm orion paddleocr
    pangu-embedded phi2 phi3 phimoe plamo plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe refact
    seed_oss smollm3 stablelm starcoder starcoder2 t5encoder xverse hy_v3
"""

#: Architectures whose memory follows from the tables above or is a cache of every head for every token.
KNOWN = frozenset(_PLAIN.split()).union(
    WINDOW_PERIOD, WINDOW_BY_PATTERN, ALL_RECURRENT, RECURRENT_WITHOUT_KV, FULL_EVERY, ENCODERS, WITH_INDEXER
) - {"bailingmoe3", "kimi-k3"}
