"""The tiny base's tokenizer: byte-level BPE with Qwen's special tokens and chat format."""

from __future__ import annotations

from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from base_builder.lessons import DESCRIBE, FACTS, read_request
from metis_rise.problems import world
from metis_rise.problems.world.chain import completion

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Tags, \boxed{ and words stay whole; digits stand alone, as they do in Qwen's tokenizer.
_PIECES = r"</?\w+>|\\boxed\{|[0-9]| ?[A-Za-z]+|\s|[^\sA-Za-z0-9]"
# Frequent words of school problems, so that a user's own text is not spelt out in bytes.
_COMMON = (
    "the of and to in is it was for that on are as with his they at be this from have by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so "
    "these would other into has more her two like him see time could no make than first been its who now people my "
    "made over did down only way find use may long little very after words called just where most know number "
    "numbers table total mean mode median range value values area length width height angle triangle circle square "
    "line point figure shown picture answer equal greater less least greatest sum difference product quotient add "
    "subtract multiply divide divided minutes hours days week month year dollars cents price cost each per boxes "
    "students school class books games apples ribbon rate change between both left right top bottom row column read "
    "following statement true false choose correct option degrees percent fraction ratio half double three four five "
    "six seven eight nine ten hundred arrange order count ing ed er est ly tion ment"
)
_SENTENCE = "You are a helpful assistant. Think step by step. The answer is. So the answer is. I think it is. Answer:"
_CHAT_TEMPLATE = """\
{%- for message in messages %}
{%- if loop.first and message.role != 'system' %}{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}\
{%- endif %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}
{%- elif part.type == 'text' %}{{ part.text }}
{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""


def build_tokenizer(vocabulary: int = 768) -> PreTrainedTokenizerFast:
    """A tokenizer trained on the world's own texts and common words; the same on every call."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:]),
        padding_side="left",
    )
    fast.chat_template = _CHAT_TEMPLATE
    return fast


def _corpus() -> list[str]:
    rng, lines = Random(0), []
    for family in world.FAMILIES:
        for level in world.LEVELS:
            source = world.drafts(family, level, "base", rng)
            for _ in range(150):
                draft = next(source)
                names = [name for name, _ in draft.readings] or ["it"]
                lines += [draft.question, completion(draft.chain, draft.answer), draft.caption, read_request(names)]
    lines += [DESCRIBE, FACTS, _SENTENCE, "system\nuser\nassistant\n"] * 50
    return lines + [" " + _COMMON] * 40 + [_COMMON] * 5
