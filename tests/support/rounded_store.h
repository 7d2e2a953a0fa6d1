// A store of a model whose layers are rounded plainly, without the machinery that makes good ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>

#include "base/atomic_file.h"
#include "model/model.h"
#include "qtensor/store.h"
#include "tensor/half.h"

namespace nearplane {

/// W [m, n] on a grid that spans each group and zero.
inline IntegerTensor rounded(const Matrix<float>& w, int bits, std::int64_t group, bool symmetric) {
  const auto groups = (w.cols() + group - 1) / group;
  const int top = (1 << bits) - 1;
  Matrix<std::uint8_t> codes(w.rows(), w.cols()), zeros(w.rows(), groups);
  Matrix<std::uint16_t> scales(w.rows(), groups);
  for (std::int64_t r = 0; r < w.rows(); ++r)
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto *begin = w.row(r) + g * group, *end = w.row(r) + std::min((g + 1) * group, w.cols());
      float low = std::min(0.0f, *std::min_element(begin, end)), high = std::max(0.0f, *std::max_element(begin, end));
      if (symmetric) high = std::max(high, -low), low = -high;
      scales(r, g) = f32_to_f16(std::max((high - low) / static_cast<float>(top), 1e-4f));
      const float scale = f16_to_f32(scales(r, g));
      const int zero = symmetric ? 1 << (bits - 1) : std::clamp(static_cast<int>(std::lround(-low / scale)), 1, top);
      zeros(r, g) = static_cast<std::uint8_t>(zero);
      for (const auto* p = begin; p < end; ++p)
        codes(r, p - w.row(r)) =
            static_cast<std::uint8_t>(std::clamp(static_cast<int>(std::lround(*p / scale)) + zero, 0, top));
    }
  return pack_quantized(codes.view(), scales.view(), zeros.view(), bits, group, symmetric);
}

/// `group` 0 = one scale per row. Kept tensors as quantize keeps them: matrices as they are, vectors as f32.
/// `tables`: embedding and head in 8 bits, one scale per row.
inline void write_rounded_store(const std::filesystem::path& model_path, const std::filesystem::path& store_path,
                                int bits, std::int64_t group, bool symmetric, bool tables = false) {
  const auto model = Model::open(model_path);
  AtomicFolder folder(store_path);
  StoreWriter store(folder.path());
  std::vector<KeptTensor> kept;
  std::vector<std::vector<float>> vectors;
  for (const auto& name : model.tensor_names()) {
    const auto& tensor = model.tensor(name);
    if (tensor.shape.size() == 1) {
      const auto& vector = vectors.emplace_back(model.decode_vector(name));
      kept.push_back({name, DType::f32, tensor.shape, std::as_bytes(std::span(vector))});
    } else if (name.starts_with("model.layers.")) {
      const auto module = name.substr(0, name.rfind(".weight"));
      const QuantizedTensor layer =
          rounded(model.decode_matrix(name), bits, group > 0 ? group : tensor.shape[1], symmetric);
      store.write_part(module, {{module, &layer}}, {});
    } else if (tables) {
      const auto module = name.substr(0, name.rfind(".weight"));
      const QuantizedTensor table = rounded(model.decode_matrix(name), 8, tensor.shape[1], true);
      store.write_part(module, {{module, &table}}, {});
    } else {
      kept.push_back({name, tensor.dtype, tensor.shape, tensor.bytes});
    }
  }
  store.write_part("rest", {}, kept);
  store.write_text("config.json", model.hf_config().dump(2));
  for (const auto& file : model.side_files()) store.write_text(file.filename().string(), read_file(file));
  store.finish(Json::object());
  folder.commit();
}

}  // namespace nearplane
