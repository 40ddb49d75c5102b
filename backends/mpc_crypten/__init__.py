"""The whole model under CrypTen's own protocols, over our links, with a dealer of its own."""
