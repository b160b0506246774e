"""The gateway to language models: any server that speaks OpenAI's chat completions."""
