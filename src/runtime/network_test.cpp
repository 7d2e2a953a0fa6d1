#include "runtime/network.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "expect_error.h"
#include "rounded_store.h"
#include "text_model.h"

namespace nearplane {
namespace {

namespace fs = std::filesystem;

class TablesInCodes : public testing::Test {
 protected:
  // A store of 4-bit layers, embedding and head in 8 bits.
  void make_store(const char* model) const {
    write_rounded_store(golden_path(model), store, 4, 16, true, true);
    folder.write("store/tokenizer.json", ascii_tokenizer().dump());
  }
  Matrix<float> embedded(const Network& network) const {
    constexpr std::array<std::int32_t, 3> kTokens{5, 127, 5};
    Matrix<float> x(3, network.config().hidden);
    embed(*network.weights, kTokens, x.view());
    return x;
  }
  static Matrix<float> logits(const Network& network, MatrixView<const float> x, Compute compute) {
    Matrix<float> out(x.rows, network.config().vocab);
    load_head(*network.weights, compute).logits(x, out.view());
    return out;
  }
  void damage(const char* part) const {
    const auto path = store / part;
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(fs::file_size(path)) - 1);
    file.put('\x5a');
  }

  TemporaryFolder folder;
  fs::path store = folder.path() / "store";
};

TEST_F(TablesInCodes, OnlyBlocksCountAsLinearLayers) {
  make_store("llama");
  write_rounded_store(golden_path("llama"), folder.path() / "kept", 4, 16, true);
  folder.write("kept/tokenizer.json", ascii_tokenizer().dump());
  const auto network = open_network(store), kept = open_network(folder.path() / "kept");
  EXPECT_EQ(network.linear_weights, kept.linear_weights);
  EXPECT_EQ(network.linear_bytes, kept.linear_bytes);
}

TEST_F(TablesInCodes, AreReadByEmbeddingAndHead) {
  for (const char* model : {"llama", "smollm-tied"}) {
    make_store(model);
    const auto network = open_network(store);
    const auto original = weights_of(std::make_shared<const Model>(Model::open(golden_path(model))));
    const auto x = embedded(network);
    const auto row = original->rows("model.embed_tokens.weight");
    std::vector<float> expected(static_cast<std::size_t>(row->cols()));
    row->decode(127, 1, expected.data());
    const MatrixView<const float> last{expected.data(), 1, row->cols(), row->cols()};
    EXPECT_LT(relative_difference(x.view().rows_at(1, 1), last), 1.0 / 255);
    const auto exact = logits(network, x.view(), Compute::f32);
    EXPECT_LT(relative_difference(logits(network, x.view(), Compute::packed).view(), exact.view()), 1e-4);
    Matrix<float> source(x.rows(), network.config().vocab);
    load_head(*original, Compute::f32).logits(x.view(), source.view());
    EXPECT_LT(relative_difference(exact.view(), source.view()), 0.02);
    fs::remove_all(store);
  }
}

TEST_F(TablesInCodes, AreReadOnceEvenForATiedHead) {
  make_store("smollm-tied");
  const auto network = open_network(store), late = open_network(store);
  const auto before = embedded(network);
  damage("model.embed_tokens.safetensors");
  const auto after = embedded(network);
  EXPECT_TRUE(std::ranges::equal(before.span(), after.span()));
  logits(network, before.view(), Compute::packed);
  expect_error(ErrorCode::bad_input, {"model.embed_tokens", "checksum"}, [&] { embedded(late); });
}

}  // namespace
}  // namespace nearplane
