#include "kernel/few_rows.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"
#include "every_target.h"

namespace nearplane {
namespace {

// Rows are three elements apart from each other: what lies between must stay as it is.
struct Case {
  std::int64_t rows, cols, stride;
  std::vector<float> data;
  Case(std::int64_t r, std::int64_t c, Rng& rng) : rows(r), cols(c), stride(c + 3) {
    for (std::int64_t i = 0; i < rows * stride; ++i) data.push_back(static_cast<float>(rng.normal()));
  }
  float at(std::int64_t r, std::int64_t c) const { return data[static_cast<std::size_t>(r * stride + c)]; }
};

TEST(FewRows, ProductsOfAnyShape) {
  Rng rng(1);
  for_every_target([&] {
    for (const std::int64_t m : {1, 2, 3, 4, 5, 9})
      for (const std::int64_t n : {1, 7, 16, 65})
        for (const std::int64_t k : {1, 8, 33, 64}) {
          const Case a(m, k, rng), bt(n, k, rng), b(k, n, rng), start(m, n, rng);
          auto nt = start, nn = start;
          few_rows_nt(m, n, k, a.data.data(), a.stride, bt.data.data(), bt.stride, nt.data.data(), nt.stride);
          few_rows_nn(m, n, k, a.data.data(), a.stride, b.data.data(), b.stride, nn.data.data(), nn.stride);
          for (std::int64_t r = 0; r < m; ++r)
            for (std::int64_t j = 0; j < nt.stride; ++j) {
              if (j >= n) {
                ASSERT_EQ(nt.at(r, j), start.at(r, j));
                ASSERT_EQ(nn.at(r, j), start.at(r, j));
                continue;
              }
              double with_bt = 0, with_b = start.at(r, j);
              for (std::int64_t i = 0; i < k; ++i) {
                with_bt += static_cast<double>(a.at(r, i)) * bt.at(j, i);
                with_b += static_cast<double>(a.at(r, i)) * b.at(i, j);
              }
              ASSERT_NEAR(nt.at(r, j), with_bt, 2e-5);
              ASSERT_NEAR(nn.at(r, j), with_b, 2e-5);
            }
        }
  });
}

}  // namespace
}  // namespace nearplane
