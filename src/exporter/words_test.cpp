#include "exporter/words.h"

#include <gtest/gtest.h>

#include <map>

#include "random_quantized.h"

namespace nearplane {
namespace {

// Codes 0, 1, 2, ... modulo 2^bits; the words other programs pack them into.
const std::map<int, std::vector<std::uint32_t>> kCounting{
    {2, {0xE4E4E4E4, 0xE4E4E4E4}},
    {3, {0x88FAC688, 0xC688FAC6, 0xFAC688FA}},
    {4, {0x76543210, 0xFEDCBA98, 0x76543210, 0xFEDCBA98}},
    {5, {0x8A418820, 0xC5A92839, 0xCA307B9A, 0x38BDAB49, 0xFFBBCDEB}},
    {6, {0x440C2040, 0xA2481C61, 0x3CE34C2C, 0x544D2450, 0xA6585D65, 0x7DE75C6D}},
    {7, {0x40608080, 0x880E1828, 0x68C16284, 0x88901E38, 0x58A94264, 0x668C982E, 0x3E78E9C3}},
    {8, {0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C, 0x13121110, 0x17161514, 0x1B1A1918, 0x1F1E1D1C}}};

std::vector<std::uint32_t> row(const Matrix<std::uint32_t>& words, std::int64_t r) {
  return {words.row(r), words.row(r) + words.cols()};
}

TEST(Words, ArePackedAsOtherProgramsDo) {
  for (const auto& [bits, words] : kCounting) {
    Matrix<std::uint8_t> codes(2, 32), zeros(2, 1);
    Matrix<std::uint16_t> scales(2, 1);
    for (std::int64_t j = 0; j < 32; ++j) codes(1, j) = static_cast<std::uint8_t>(j % (1 << bits));
    const auto layer = pack_quantized(codes.view(), scales.view(), zeros.view(), bits, 32, true);
    EXPECT_EQ(row(code_words(layer), 0), std::vector<std::uint32_t>(words.size()));
    EXPECT_EQ(row(code_words(layer), 1), words);
  }
}

TEST(Words, FillTheLastWordWithZeroBits) {
  auto layer = random_quantized(3, 37, 3, 37, true, 1);
  std::fill(layer.codes.begin(), layer.codes.end(), std::byte{0xff});
  const auto words = code_words(layer);
  ASSERT_EQ(words.cols(), 4);
  EXPECT_EQ(words(2, 3), 0x0000ffffu);  // the last row's 14 bytes; the store keeps their last bit clear itself
}

TEST(Words, OfSymmetricZeroPointsAreTheKnownConstants) {
  const std::map<int, std::pair<std::uint32_t, std::uint32_t>> constants{
      {2, {0x55555555, 0xAAAAAAAA}}, {4, {0x77777777, 0x88888888}}, {8, {0x7F7F7F7F, 0x80808080}}};
  for (const auto& [bits, words] : constants) {
    const auto layer = random_quantized(64, 64, bits, 32, true, 2);
    const auto first = zero_words(layer, 1), second = zero_words(layer, 0);
    ASSERT_EQ(first.rows(), 2);
    ASSERT_EQ(first.cols(), 2 * bits);
    for (const auto word : first.span()) EXPECT_EQ(word, words.first);
    for (const auto word : second.span()) EXPECT_EQ(word, words.second);
  }
}

TEST(Words, TransposeAnyShape) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, std::pair{3, 70}, std::pair{65, 33}}) {
    Matrix<std::uint32_t> a(rows, cols);
    for (std::int64_t i = 0; i < a.size(); ++i) a.data()[i] = static_cast<std::uint32_t>(i);
    const auto b = transposed<std::uint32_t>(a.view());
    ASSERT_EQ(b.rows(), cols);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) ASSERT_EQ(b(c, r), a(r, c));
  }
}

}  // namespace
}  // namespace nearplane
