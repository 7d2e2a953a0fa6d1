// packed_dot() with the instructions for bytes of AVX-512 (VNNI, VBMI) and, for several tokens, tiles of AMX (for one,
// bringing codes into tiles costs more than the products). Both multiply unsigned bytes with signed ones, so an
// activation v of 16 bits is two bytes, v = 256 high + low: the sum over a piece is the same integer as anywhere else.
// One vector holds the 64 codes of a piece, or the 32 twice.
//
// Included once for the target that has these instructions, inside its namespace.

// How inputs lie. Always as bytes, two planes:
enum class Inputs {
  vectors,  // of each piece and token `width` high ones, then `width` low ones
  // Tiles of 64 columns (a piece or two) x 16, of each token. Eight pieces add to one tile of products: in the columns
  // 2 i and 2 i + 1 are the planes of piece i, all others are zeros. Scales lie likewise, 256 times those of the planes
  // that are high.
  pieces,
  tokens,  // Tiles of `width` columns x 16 tokens, one for each plane; scales and sums [pieces][tokens, in sixteens]
};

inline Inputs inputs_for(std::int64_t tokens) {
  return tokens == 1 || !use_tiles() ? Inputs::vectors : tokens <= 4 ? Inputs::pieces : Inputs::tokens;
}

struct InputsWriter {
  InputsWriter(const PackedShape& shape, std::int64_t tokens, std::int16_t* values, float* scales, float* sums)
      : shape_(shape),
        kind_(inputs_for(tokens)),
        tokens_(tokens),
        room_(kind_ == Inputs::tokens ? PackedInputs::room_for(tokens) : tokens),
        values_(reinterpret_cast<std::byte*>(values)),
        scales_(scales),
        sums_(sums) {
    if (kind_ == Inputs::vectors) return;
    // Between the planes, and tokens that are not there.
    const auto all = shape.pieces() * PackedInputs::room_for(tokens);
    std::fill_n(values, all * shape.width, std::int16_t{0});
    std::fill_n(scales, all, 0.0f), std::fill_n(sums, all, 0.0f);
  }

  void put(std::int64_t p, std::int64_t t, const std::int16_t* piece, float scale, float sum) {
    alignas(64) std::int8_t planes[2][64];
    for (int j = 0; j < shape_.width; ++j) {
      planes[0][j] = static_cast<std::int8_t>((piece[j] + 128) >> 8);
      planes[1][j] = static_cast<std::int8_t>(piece[j]);
    }
    for (int plane = 0; plane < 2; ++plane) {
      auto* to = values_ + place(p, t, plane);
      if (kind_ == Inputs::vectors)
        std::memcpy(to, planes[plane], static_cast<std::size_t>(shape_.width));
      else
        for (int j = 0; j < shape_.width; j += 4) std::memcpy(to + 16 * j, planes[plane] + j, 4);
    }
    if (kind_ == Inputs::pieces) {
      auto* to = scales_ + (t * tile_groups(shape_) + p / 8) * 16 + p % 8 * 2;
      to[0] = 256 * scale, to[1] = scale;
    } else {
      scales_[p * room_ + t] = scale;
    }
    sums_[kind_ == Inputs::tokens ? p * room_ + t : t * shape_.pieces() + p] = sum;
  }

  // Tiles of products of a row.
  static std::int64_t tile_groups(const PackedShape& shape) { return (shape.pieces() + 7) / 8; }
  static std::int64_t chunks(const PackedShape& shape) { return (shape.pieces() * shape.width + 63) / 64; }

 private:
  // Of the first byte.
  std::int64_t place(std::int64_t p, std::int64_t t, int plane) const {
    const std::int64_t width = shape_.width;
    switch (kind_) {
      case Inputs::vectors:
        return ((p * tokens_ + t) * 2 + plane) * width;
      case Inputs::pieces:
        return (t * chunks(shape_) + p * width / 64) * 1024 + p * width % 64 * 16 + (p % 8 * 2 + plane) * 4;
      default:
        return (p * room_ + t / 16 * 16) * 2 * width + plane * 16 * width + t % 16 * 4;
    }
  }

  const PackedShape& shape_;
  Inputs kind_;
  std::int64_t tokens_, room_;
  std::byte* values_;
  float *scales_, *sums_;
};

HWY_INLINE __m512i Shifts(int a, int b, int c, int d) { return _mm512_set_epi64(d, d, c, c, b, b, a, a); }

// Loaders: the codes of a piece in the order of PackedShape::place().

struct ByteQuarters {  // 16 bytes to 64 codes of 2 bits
  static constexpr bool kSigned = false;
  HWY_INLINE ByteQuarters() : shifts(Shifts(0, 2, 4, 6)), mask(_mm512_set1_epi8(3)) {}
  HWY_INLINE __m512i Load(const std::uint8_t* at) const {
    const auto all = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    return _mm512_and_si512(_mm512_srlv_epi64(all, shifts), mask);
  }
  __m512i shifts, mask;
};

struct ByteHalves64 {  // 32 bytes to 64 codes of 4 bits
  static constexpr bool kSigned = false;
  HWY_INLINE ByteHalves64() : shifts(Shifts(0, 0, 4, 4)), mask(_mm512_set1_epi8(15)) {}
  HWY_INLINE __m512i Load(const std::uint8_t* at) const {
    const auto all = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
    return _mm512_and_si512(_mm512_srlv_epi64(all, shifts), mask);
  }
  __m512i shifts, mask;
};

struct ByteHalves32 {  // 16 bytes to 32 codes of 4 bits, twice
  static constexpr bool kSigned = false;
  HWY_INLINE ByteHalves32() : shifts(Shifts(0, 4, 0, 4)), mask(_mm512_set1_epi8(15)) {}
  HWY_INLINE __m512i Load(const std::uint8_t* at) const {
    const auto all = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    return _mm512_and_si512(_mm512_srlv_epi64(all, shifts), mask);
  }
  __m512i shifts, mask;
};

template <int kWidth>
HWY_INLINE __m512i LoadBytes(const std::uint8_t* at) {
  if constexpr (kWidth == 64) return _mm512_loadu_si512(at);
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}

template <int kWidth>
struct WholeBytes {
  static constexpr bool kSigned = false;
  HWY_INLINE __m512i Load(const std::uint8_t* at) const { return LoadBytes<kWidth>(at); }
};

template <int kWidth>
struct WholeSignedBytes {  // plus 128
  static constexpr bool kSigned = true;
  HWY_INLINE WholeSignedBytes() : top(_mm512_set1_epi8(-128)) {}
  HWY_INLINE __m512i Load(const std::uint8_t* at) const { return _mm512_xor_si512(LoadBytes<kWidth>(at), top); }
  __m512i top;
};

// Any stream: eight codes are kBits whole bytes, which go to eight bytes and are shifted within them.
template <int kBits, int kWidth>
struct ByteStream {
  static constexpr bool kSigned = false;
  HWY_INLINE ByteStream() : mask(_mm512_set1_epi8((1 << kBits) - 1)) {
    alignas(64) std::uint8_t from[64], by[64];
    for (int i = 0; i < 64; ++i) {
      from[i] = static_cast<std::uint8_t>((i % kWidth / 8) * kBits + std::min(i % 8, kBits - 1));
      by[i] = static_cast<std::uint8_t>(i % 8 * kBits);
    }
    bytes = _mm512_load_si512(from), shifts = _mm512_load_si512(by);
  }
  HWY_INLINE __m512i Load(const std::uint8_t* at) const {
    const auto spread = _mm512_permutexvar_epi8(bytes, _mm512_loadu_si512(at));
    return _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, spread), mask);
  }
  __m512i bytes, shifts, mask;
};

// The products of the pieces of kRows rows with one token's, in f32: of 64 codes the sum of both planes; of 32 the
// high plane in the lower lanes and the low plane in the others.
template <class Loader, int kWidth, int kRows>
HWY_INLINE void DotBytes(const __m512i (&w)[kRows], const std::byte* x, __m512 (&out)[kRows]) {
  static_assert(kWidth == 32 || !Loader::kSigned);
  const auto high = _mm512_loadu_si512(x), zero = _mm512_setzero_si512();
  if constexpr (kWidth == 32) {
    auto start = zero;
    if constexpr (Loader::kSigned)
      start = _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, _mm512_set1_epi8(-128), high));
    for (int r = 0; r < kRows; ++r) out[r] = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(start, w[r], high));
  } else {
    const auto low = _mm512_loadu_si512(x + 64);
    for (int r = 0; r < kRows; ++r) {
      const auto high_sum = _mm512_slli_epi32(_mm512_dpbusd_epi32(zero, w[r], high), 8);
      out[r] = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(high_sum, w[r], low));
    }
  }
}

template <int kWidth>
HWY_INLINE float Total(__m512 sum) {
  if constexpr (kWidth == 32) sum = _mm512_mask_mul_ps(sum, 0x00ff, sum, _mm512_set1_ps(256));  // the high plane
  return _mm512_reduce_add_ps(sum);
}

template <class Loader, int kWidth, int kRows>
HWY_INLINE void BytePieces(const Loader& loader, const PackedInputs& in, std::int64_t p, std::int64_t count,
                           Cursor<kRows>& at, __m512 (&sum)[kRows]) {
  HWY_ALIGN float factors[kRows][kFetch];
  at.Fetch(count);
  for (int r = 0; r < kRows; ++r)
    for (std::int64_t i = 0; i < count; ++i) factors[r][i] = at.scales[r][i] * in.scales[p + i];
  const auto* x = reinterpret_cast<const std::byte*>(in.values + p * kWidth);
  for (std::int64_t i = 0; i < count; ++i, x += 2 * kWidth, at.Next()) {
    __m512i w[kRows];
    __m512 part[kRows];
    for (int r = 0; r < kRows; ++r) w[r] = loader.Load(at.codes[r]);
    DotBytes<Loader, kWidth>(w, x, part);
    for (int r = 0; r < kRows; ++r) sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(factors[r][i]), part[r], sum[r]);
  }
}

// One token.
template <class Loader, int kWidth, int kRows>
void BytesOne(const PackedShape& shape, const PackedInputs& in, const PackedRow* rows, float* sums) {
  const Loader loader;
  Cursor<kRows> at(shape, rows);
  __m512 sum[kRows];
  for (int r = 0; r < kRows; ++r) sum[r] = _mm512_setzero_ps();
  const auto pieces = shape.pieces();
  std::int64_t p = 0;
  for (; p + kFetch <= pieces; p += kFetch) BytePieces<Loader, kWidth>(loader, in, p, kFetch, at, sum);
  if (p < pieces) BytePieces<Loader, kWidth>(loader, in, p, pieces - p, at, sum);
  for (int r = 0; r < kRows; ++r) sums[r] = Total<kWidth>(sum[r]);
}

// Several tokens without tiles.
template <class Loader, int kWidth, int kRows>
void BytesSome(const PackedShape& shape, const PackedInputs& in, const PackedRow* rows, float* sums) {
  const Loader loader;
  Cursor<kRows> at(shape, rows);
  alignas(64) float sum[kPackedTokens * kRows][16];
  for (std::int64_t i = 0; i < in.tokens * kRows; ++i) _mm512_store_ps(sum[i], _mm512_setzero_ps());
  const auto* values = reinterpret_cast<const std::byte*>(in.values);
  for (std::int64_t p = 0, pieces = shape.pieces(); p < pieces; ++p, at.Next()) {
    at.Fetch(1);
    __m512i w[kRows];
    for (int r = 0; r < kRows; ++r) w[r] = loader.Load(at.codes[r]);
    for (std::int64_t t = 0; t < in.tokens; ++t) {
      __m512 part[kRows];
      DotBytes<Loader, kWidth>(w, values + (p * in.tokens + t) * 2 * kWidth, part);
      for (int r = 0; r < kRows; ++r) {
        auto* to = sum[t * kRows + r];
        const auto factor = _mm512_set1_ps(*at.scales[r] * in.scales[p * in.tokens + t]);
        _mm512_store_ps(to, _mm512_fmadd_ps(factor, part[r], _mm512_load_ps(to)));
      }
    }
  }
  for (std::int64_t t = 0; t < in.tokens; ++t)
    for (int r = 0; r < kRows; ++r) sums[r * in.tokens + t] = Total<kWidth>(_mm512_load_ps(sum[t * kRows + r]));
}

#define NEARPLANE_TILES __attribute__((target("amx-tile,amx-int8")))

// Tile 0 holds codes of 16 rows, tile 1 activations; the others products.
NEARPLANE_TILES inline void ConfigureTiles(int columns) {
  struct alignas(64) {
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
  } config;
  for (int tile = 0; tile < 8; ++tile) config.row_bytes[tile] = 64, config.rows[tile] = 16;
  config.row_bytes[0] = static_cast<std::uint16_t>(columns);
  config.rows[1] = static_cast<std::uint8_t>(columns / 4);
  _tile_loadconfig(&config);
}

// A tile is read from memory, and products are read back, only after all that was written before has left the core's
// queues, and that takes about as long as some tiles of products. So codes are decoded a group of pieces ahead, and
// products are left alone for a while.
struct alignas(64) TileSums {
  std::int32_t sums[16][16];
};
constexpr std::int64_t kGroup = 8;  // pieces
using GroupCodes = std::uint8_t[kGroup][16][64];

// 16 rows; at the end the last one stands for those that are missing.
struct TileRows {
  TileRows(const PackedShape& shape, std::span<const PackedRow> rows, std::int64_t first)
      : piece_bytes(shape.piece_bytes) {
    for (std::int64_t i = 0; i < 16; ++i) {
      const auto& row = rows[static_cast<std::size_t>(std::min(first + i, std::ssize(rows) - 1))];
      codes[i] = reinterpret_cast<const std::uint8_t*>(row.codes) + shape.first_byte;
      scales[i] = row.scales, offsets[i] = row.offsets;
    }
    ahead = std::max<std::int64_t>(0, 16 * (codes[1] - codes[0]));
  }
  std::int64_t piece_bytes;
  std::int64_t ahead;  // where the next 16 rows are, if rows follow each other
  const std::uint8_t* codes[16];
  const float *scales[16], *offsets[16];
};

// Tiles take signed bytes as they are.
template <class Loader>
HWY_INLINE __m512i LoadForTile(const Loader& loader, const std::uint8_t* at) {
  const auto codes = loader.Load(at);
  if constexpr (Loader::kSigned) return _mm512_xor_si512(codes, loader.top);
  return codes;
}

// Pieces [p0, end) of 16 rows: kColumns of them side by side, a piece or two.
template <class Loader, int kWidth, int kColumns>
HWY_INLINE void DecodeGroup(const Loader& loader, const TileRows& rows, std::int64_t p0, std::int64_t end,
                            GroupCodes& codes) {
  constexpr int kPieces = kColumns / kWidth;
  for (int r = 0; r < 16; ++r) {
    const auto* at = rows.codes[r] + p0 * rows.piece_bytes;
    for (std::int64_t byte = 0; byte < (end - p0) * rows.piece_bytes; byte += 64) hwy::Prefetch(at + rows.ahead + byte);
    for (std::int64_t c = 0; c < (end - p0 + kPieces - 1) / kPieces; ++c, at += kPieces * rows.piece_bytes) {
      auto w = LoadForTile(loader, at);
      if constexpr (kPieces == 2) w = _mm512_mask_blend_epi64(0xf0, w, LoadForTile(loader, at + rows.piece_bytes));
      _mm512_store_si512(codes[c][r], w);
    }
  }
}

// Adds the products of tile 0 with a tile of activations to tile 2, 3, 4 or 5.
#define NEARPLANE_MULTIPLY(to, x) \
  _tile_loadd(1, x, 64);          \
  if constexpr (kSigned)          \
    _tile_dpbssd(to, 0, 1);       \
  else                            \
    _tile_dpbusd(to, 0, 1);

// Inputs::pieces: a tile of products holds both planes of eight pieces of a token; two tokens have two tiles each, for
// even and odd chunks.
template <bool kSigned, int kTokens>
NEARPLANE_TILES HWY_INLINE void MultiplyChunk(int chunk, const std::byte* x, std::int64_t token_bytes) {
  if (kTokens == 2 && chunk % 2 == 1) {
    NEARPLANE_MULTIPLY(4, x) NEARPLANE_MULTIPLY(5, x + token_bytes)
  } else {
    NEARPLANE_MULTIPLY(2, x) NEARPLANE_MULTIPLY(3, x + token_bytes) if constexpr (kTokens > 2) {
      NEARPLANE_MULTIPLY(4, x + 2 * token_bytes)
    }
    if constexpr (kTokens > 3) {
      NEARPLANE_MULTIPLY(5, x + 3 * token_bytes)
    }
  }
}

template <class Loader, int kWidth, int kTokens>
NEARPLANE_TILES HWY_INLINE void MultiplyGroup(const GroupCodes& codes, int chunks, const std::byte* x,
                                              std::int64_t token_bytes, TileSums (&out)[4]) {
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int c = 0; c < chunks; ++c, x += 1024) {
    _tile_loadd(0, codes[c], 64);
    MultiplyChunk<Loader::kSigned, kTokens>(c, x, token_bytes);
  }
  _tile_stored(2, out[0].sums, 64);
  _tile_stored(3, out[1].sums, 64);
  _tile_stored(4, out[2].sums, 64);
  _tile_stored(5, out[3].sums, 64);
}

// The products of token t with row r: columns that belong to one tile are zero in the others.
template <int kTokens>
HWY_INLINE __m512i GroupProducts(const TileSums (&products)[4], int t, int r) {
  const auto sum = _mm512_load_si512(products[t].sums[r]);
  return kTokens == 2 ? _mm512_add_epi32(sum, _mm512_load_si512(products[t + 2].sums[r])) : sum;
}

template <class Loader, int kWidth, int kTokens>
NEARPLANE_TILES void TilePieces(const PackedShape& shape, const PackedInputs& in, const TileRows& rows,
                                float (&sums)[16][kPackedTokens]) {
  const Loader loader;
  alignas(64) GroupCodes codes;
  TileSums products[2][4];
  __m512 sum[16][kTokens];
  for (auto& row : sum) std::fill_n(row, kTokens, _mm512_setzero_ps());
  const auto pieces = shape.pieces(), token_bytes = InputsWriter::chunks(shape) * 1024;
  const auto token_scales = InputsWriter::tile_groups(shape) * 16;
  const auto twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  const auto finish = [&](std::int64_t p0) __attribute__((always_inline)) {
    const auto here = static_cast<__mmask8>((1 << std::min(kGroup, pieces - p0)) - 1);
    for (int r = 0; r < 16; ++r) {
      const auto scale = _mm256_maskz_loadu_ps(here, rows.scales[r] + p0);
      const auto scales = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(scale));
      for (int t = 0; t < kTokens; ++t) {
        const auto factor = _mm512_mul_ps(scales, _mm512_loadu_ps(in.scales + t * token_scales + 2 * p0));
        const auto whole = _mm512_cvtepi32_ps(GroupProducts<kTokens>(products[p0 / kGroup % 2], t, r));
        sum[r][t] = _mm512_fmadd_ps(whole, factor, sum[r][t]);
      }
    }
  };
  const auto* x = reinterpret_cast<const std::byte*>(in.values);
  for (std::int64_t p0 = 0; p0 < pieces; p0 += kGroup, x += kGroup * kWidth * 16) {
    const auto end = std::min(p0 + kGroup, pieces);
    DecodeGroup<Loader, kWidth, 64>(loader, rows, p0, end, codes);
    if (p0 > 0) finish(p0 - kGroup);
    MultiplyGroup<Loader, kWidth, kTokens>(codes, static_cast<int>(((end - p0) * kWidth + 63) / 64), x, token_bytes,
                                           products[p0 / kGroup % 2]);
  }
  finish((pieces - 1) / kGroup * kGroup);
  for (int r = 0; r < 16; ++r)
    for (int t = 0; t < kTokens; ++t) sums[r][t] = _mm512_reduce_add_ps(sum[r][t]);
}

// Inputs::tokens: products of a piece with 16 tokens.
template <bool kSigned, int kWidth, int kTurn>
NEARPLANE_TILES HWY_INLINE void MultiplyTokens(const std::byte* x, TileSums (&out)[2]) {
  if constexpr (kTurn == 0) {
    _tile_zero(2);
    _tile_zero(3);
    NEARPLANE_MULTIPLY(2, x) NEARPLANE_MULTIPLY(3, x + 16 * kWidth) _tile_stored(2, out[0].sums, 64);
    _tile_stored(3, out[1].sums, 64);
  } else {
    _tile_zero(4);
    _tile_zero(5);
    NEARPLANE_MULTIPLY(4, x) NEARPLANE_MULTIPLY(5, x + 16 * kWidth) _tile_stored(4, out[0].sums, 64);
    _tile_stored(5, out[1].sums, 64);
  }
}
#undef NEARPLANE_MULTIPLY

HWY_INLINE void FinishTokens(const TileSums (&products)[2], const TileRows& rows, std::int64_t p, const float* scales,
                             const float* x_sums, std::int64_t t, float (&sums)[16][kPackedTokens]) {
  const auto x_scale = _mm512_loadu_ps(scales), x_sum = _mm512_loadu_ps(x_sums);
  for (int r = 0; r < 16; ++r) {
    const auto whole = _mm512_add_epi32(_mm512_slli_epi32(_mm512_load_si512(products[0].sums[r]), 8),
                                        _mm512_load_si512(products[1].sums[r]));
    auto sum = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(whole), x_scale), _mm512_set1_ps(rows.scales[r][p]),
                               _mm512_load_ps(sums[r] + t));
    if (rows.offsets[r] != nullptr) sum = _mm512_fnmadd_ps(_mm512_set1_ps(rows.offsets[r][p]), x_sum, sum);
    _mm512_store_ps(sums[r] + t, sum);
  }
}

template <class Loader, int kWidth>
NEARPLANE_TILES void TileTokens(const PackedShape& shape, const PackedInputs& in, const TileRows& rows,
                                float (&sums)[16][kPackedTokens]) {
  constexpr std::int64_t kLag = 2;  // steps, of a piece and 16 tokens each, after which products are read
  const Loader loader;
  alignas(64) GroupCodes codes;
  TileSums products[kLag + 1][2];
  const auto room = PackedInputs::room_for(in.tokens), pieces = shape.pieces(), blocks = room / 16;
  for (auto& row : sums) std::fill_n(row, room, 0.0f);
  const auto finish = [&](std::int64_t step) __attribute__((always_inline)) {
    const auto p = step / blocks, at = step * 16;
    FinishTokens(products[step % (kLag + 1)], rows, p, in.scales + at, in.sums + at, at - p * room, sums);
  };
  const auto* x = reinterpret_cast<const std::byte*>(in.values);
  std::int64_t step = 0;
  for (std::int64_t p = 0; p < pieces; ++p) {
    if (p % kGroup == 0) DecodeGroup<Loader, kWidth, kWidth>(loader, rows, p, std::min(p + kGroup, pieces), codes);
    _tile_loadd(0, codes[p % kGroup], 64);
    for (std::int64_t block = 0; block < blocks; ++block, ++step, x += 32 * kWidth) {
      auto& out = products[step % (kLag + 1)];
      step % 2 == 0 ? MultiplyTokens<Loader::kSigned, kWidth, 0>(x, out)
                    : MultiplyTokens<Loader::kSigned, kWidth, 1>(x, out);
      if (step >= kLag) finish(step - kLag);
    }
  }
  for (auto last = std::max<std::int64_t>(0, step - kLag); last < step; ++last) finish(last);
}

template <class Loader, int kWidth>
NEARPLANE_TILES void TileProduct(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows,
                                 float* sums) {
  alignas(64) float tile[16][kPackedTokens];
  const bool many = inputs_for(in.tokens) == Inputs::tokens;
  constexpr decltype(&TileTokens<Loader, kWidth>) kFew[] = {
      TilePieces<Loader, kWidth, 2>, TilePieces<Loader, kWidth, 3>, TilePieces<Loader, kWidth, 4>};
  const auto product = many ? TileTokens<Loader, kWidth> : kFew[in.tokens - 2];
  ConfigureTiles(many ? kWidth : 64);
  const auto count = std::ssize(rows);
  for (std::int64_t first = 0; first < count; first += 16) {
    product(shape, in, {shape, rows, first}, tile);
    for (auto r = first; r < std::min(first + 16, count); ++r) {
      auto* to = sums + r * in.tokens;
      std::copy_n(tile[r - first], in.tokens, to);
      const auto* offsets = rows[static_cast<std::size_t>(r)].offsets;
      if (!many && offsets) SubtractOffsets(in, shape.pieces(), offsets, to);
    }
  }
  _tile_release();
}

template <class Loader, int kWidth>
void ByteProduct(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows, float* sums) {
  if (inputs_for(in.tokens) != Inputs::vectors) return TileProduct<Loader, kWidth>(shape, in, rows, sums);
  if (in.tokens == 1)
    InTurns<4>(shape, in, rows, BytesOne<Loader, kWidth, 4>, BytesOne<Loader, kWidth, 1>, sums);
  else
    InTurns<4>(shape, in, rows, BytesSome<Loader, kWidth, 4>, BytesSome<Loader, kWidth, 1>, sums);
}
