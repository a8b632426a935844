"""The differential tests of the tokenizer: texts, tokenizers, comparison."""
