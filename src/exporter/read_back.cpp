#include "exporter/read_back.h"

#include <algorithm>

#include "base/check.h"
#include "base/threads.h"

namespace nearplane {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

template <class T>
void expect_row(const char* what, std::int64_t r, std::span<const T> stored, const T* exported,
                const std::string& where) {
  const auto [here, there] = std::mismatch(stored.begin(), stored.end(), exported);
  if (here != stored.end())
    throw Error(ErrorCode::io,
                fmt::format("reads back differently: {} {} of row {} is {} instead of {}", what, here - stored.begin(),
                            r, *there, *here),
                where);
}

}  // namespace

void expect_same(const IntegerTensor& layer, const Unpacked& exported, const std::string& where) {
  if (exported.codes.rows() != layer.rows || exported.codes.cols() != layer.cols || exported.group != layer.group)
    throw Error(
        ErrorCode::io,
        fmt::format("reads back as {} x {} in groups of {} instead of {} x {} in groups of {}", exported.codes.rows(),
                    exported.codes.cols(), exported.group, layer.rows, layer.cols, layer.group),
        where);
  const auto groups = layer.groups();
  parallel_for((layer.rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(layer.cols)), zeros(static_cast<std::size_t>(groups));
    for (auto r = task * kRowsPerTask; r < std::min((task + 1) * kRowsPerTask, layer.rows); ++r) {
      layer.codes_of_row(r, codes.data());
      layer.zeros_of_row(r, zeros.data());
      const std::span scales(layer.scales.data() + r * groups, static_cast<std::size_t>(groups));
      expect_row<std::uint8_t>("code", r, codes, exported.codes.row(r), where);
      expect_row<std::uint8_t>("zero point", r, zeros, exported.zeros.row(r), where);
      expect_row<std::uint16_t>("scale", r, scales, exported.scales.row(r), where);
    }
  });
}

}  // namespace nearplane
