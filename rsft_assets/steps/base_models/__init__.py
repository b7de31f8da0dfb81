"""base_models/<model>: a pinned download, or a small model pretrained here."""
