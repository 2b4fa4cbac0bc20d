"""The Transformer encoder for texts of the Collaborative Group Learning paper."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


def text_transformer(
    classes: int,
    *,
    vocabulary: int = 16_000,
    embedding: int = 512,
    hidden: int = 128,
    heads: int = 4,
    blocks: int = 3,
    feed_forward: int = 512,
    dropout: float = 0.1,
    length: int = 512,
    padding: int = 0,
) -> "TextTransformer":
    """Build the encoder of Vaswani et al. (2017) with the sizes of the CGL paper, and a linear classifier.

    `layers.blocks` gives the embedding and each block, 4 layers: with two modules each there are 16 paths. The three
    blocks alone have 8 paths, enough for at most 8 distinct students.

    Reading:
        The paper prints an embedding of 512 and a hidden state of 128, but not how they are connected: here by a
        linear map after embedding and positions, factorised as in ALBERT (Lan et al. 2020). The mean of the tokens is
        classified, as the pooling is not printed. Nor is dropout: it is where Vaswani et al. print it (section 5.4),
        after each sub-layer and on the sum of embedding and positions, and before the classifier, as in BERT. The
        dropout that PyTorch's layer adds, on the attention's weights and between the feed-forward maps, is off: on a
        CPU it takes more than half of a training step on 512 tokens. Embeddings have the deviation 1/√512, so that,
        scaled by √512, they are as large as the positions.

    Args:
        classes: how many classes.
        vocabulary: how many ids there are.
        embedding: size of a token's vector before the linear map.
        hidden: size of a token's vector after it.
        heads: number of heads of each attention; must divide `hidden`.
        blocks: number of encoder blocks.
        feed_forward: hidden width of each block's feed-forward layer.
        dropout: rate of all dropout.
        length: how many positions there are: the maximum number of tokens in a row.
        padding: the id that pads rows.

    Returns:
        A network from ids (N, L) to logits (N, classes).

    Raises:
        ValueError: a size below 1, heads that do not divide `hidden`, or a `padding` that is none of the ids.
    """
    sizes = (classes, vocabulary, embedding, hidden, heads, blocks, feed_forward, length)
    if min(sizes) < 1 or hidden % heads or not 0 <= padding < vocabulary:
        raise ValueError(
            "classes, vocabulary, embedding, hidden, heads, blocks, feed_forward and length are "
            f"{', '.join(map(str, sizes))}, padding is {padding}; give at least 1 for each, heads that divide "
            "hidden, and a padding from 0 to vocabulary - 1"
        )
    return TextTransformer(
        TokenEmbedding(
            ScaledEmbedding(vocabulary, embedding, padding_idx=padding),
            hidden=hidden,
            dropout=dropout,
            length=length,
        ),
        [EncoderBlock(hidden, heads, feed_forward, dropout=dropout) for _ in range(blocks)],
        nn.Linear(hidden, classes),
        dropout=dropout,
        padding=padding,
    )


class TextTransformer(nn.Module):
    """The network of `text_transformer`; its `fc` maps the mean of a row's tokens to logits."""

    def __init__(
        self,
        embedding: "TokenEmbedding",
        blocks: "list[EncoderBlock]",
        fc: nn.Linear,
        *,
        dropout: float,
        padding: int,
    ) -> None:
        super().__init__()
        self.length, self.padding = len(embedding.positions), padding
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.dropout = nn.Dropout(dropout)
        self.fc = fc

    def forward(
        self,
        input_ids: Int[Tensor, "rows length"],
        attention_mask: Int[Tensor, "rows length"] | Bool[Tensor, "rows length"] | None = None,
    ) -> Float[Tensor, "_ classes"]:  # "_": inside a group, rows part on the way for several students
        """Return the logits, which do not depend on how far rows are padded.

        Args:
            input_ids: of the tokens, at most `length` per row.
            attention_mask: 0 for padding; if omitted, all tokens with the padding id are padding. The tokens of a row
                of nothing but padding are not masked.

        Raises:
            ValueError: rows longer than `length`.
        """
        if input_ids.shape[1] > self.length:
            raise ValueError(
                f"rows have {input_ids.shape[1]} tokens, and the network has positions for {self.length}; cut the "
                f"texts, or build the network with length={input_ids.shape[1]}"
            )
        empty = input_ids == self.padding if attention_mask is None else attention_mask == 0
        # attention to nothing and a mean over nothing would be NaN
        padding = empty & ~empty.all(1, keepdim=True)
        hidden, padding = self.embedding(input_ids, padding)
        for block in self.blocks:
            hidden, padding = block(hidden, padding)
        logits: Tensor = self.fc(self.dropout(mean_over_tokens(hidden, padding)))
        return logits


class ScaledEmbedding(nn.Embedding):
    """Embeddings of deviation 1/√width, scaled by √width, as in Vaswani et al. (2017), section 3.4."""

    def reset_parameters(self) -> None:
        """Draw the vectors; that of the padding is 0."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)
        self._fill_padding_idx_with_zero()

    def forward(self, input: Int[Tensor, "*ids"]) -> Float[Tensor, "*ids width"]:
        """Return the scaled vectors."""
        return super().forward(input) * math.sqrt(self.embedding_dim)


class TokenEmbedding(nn.Module):
    """Embedding, positions and dropout on their sum, and a linear map to `hidden`, the blocks' width.

    It returns the padding too, as each block does: where rows part for several students, the padding parts with them.
    """

    positions: Tensor

    def __init__(self, tokens: ScaledEmbedding, *, hidden: int, dropout: float, length: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.register_buffer("positions", sinusoids(length, tokens.embedding_dim), persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(tokens.embedding_dim, hidden)

    def forward(
        self, input_ids: Int[Tensor, "rows length"], padding: Bool[Tensor, "rows length"]
    ) -> tuple[Float[Tensor, "_ length hidden"], Bool[Tensor, "_ length"]]:
        """Return the vectors, and which of them are padding."""
        vectors = self.tokens(input_ids) + self.positions[: input_ids.shape[1]]
        return self.projection(self.dropout(vectors)), padding


class EncoderBlock(nn.Module):
    """PyTorch's encoder layer, normalised after its residual connections as in Vaswani et al. (2017)."""

    def __init__(self, hidden: int, heads: int, feed_forward: int, *, dropout: float) -> None:
        super().__init__()
        # not F.relu: with it, evaluation replaces the layer's modules by one fused operation, so that none of them
        # could be routed
        self.layer = nn.TransformerEncoderLayer(
            hidden, heads, feed_forward, dropout, activation=torch.relu, batch_first=True
        )
        self.layer.self_attn.dropout = self.layer.dropout.p = 0.0

    def forward(
        self, hidden: Float[Tensor, "rows length hidden"], padding: Bool[Tensor, "_ length"]
    ) -> tuple[Float[Tensor, "_ length hidden"], Bool[Tensor, "_ length"]]:
        """Return the output tokens of the block, and which of them are padding.

        Raises:
            ValueError: the numbers of rows of tokens and of padding differ.
        """
        if hidden.shape[0] != padding.shape[0]:  # not len(), which would fix the number of rows in exports
            raise ValueError(
                f"{len(hidden)} rows of tokens come with the padding of {len(padding)}; rows have parted inside the "
                "embedding or inside a block, where the padding does not follow: name the whole of it"
            )
        return self.layer(hidden, src_key_padding_mask=padding), padding


def mean_over_tokens(
    hidden: Float[Tensor, "rows length hidden"], padding: Bool[Tensor, "rows length"]
) -> Float[Tensor, "rows hidden"]:
    """Return the mean of each row's tokens, without padding, which is never all of a row."""
    tokens = hidden.masked_fill(padding[..., None], 0)
    return tokens.sum(1) / (~padding).sum(1, keepdim=True)


def sinusoids(length: int, width: int) -> Float[Tensor, "{length} {width}"]:
    """Return the positional encodings of Vaswani et al. (2017), section 3.5.

    PE(p, 2i) = sin(p / 10000^(2i / width)), PE(p, 2i + 1) = cos(p / 10000^(2i / width)).
    """
    rates = 10_000.0 ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width].float()
