// Elementwise loops of the forward and backward pass on f32 rows, vectorised for the machine at run time (Highway).
// Single-threaded. No alignment is needed. A NaN among the inputs reaches the output.
#pragma once

#include <cstdint>

namespace nearplane {

/// Largest of x[0, n), n > 0.
float max_of(const float* x, std::int64_t n);
/// x[i] = exp(x[i] - shift); returns their sum. Relative error of each below 3e-7 where the result is a normal f32;
/// below that it is 0. x[i] - shift must not exceed 88.
float exp_shifted(float* x, std::int64_t n, float shift);
/// gate[i] = silu(gate[i]) * up[i], silu(g) = g / (1 + exp(-g)); relative error below 1e-6 for g > -87.
void silu_times(float* gate, const float* up, std::int64_t n);
/// Gradients dm at m = silu(gate) up -> gradients at gate and up, which take their places:
/// up' = dm silu(g), gate' = dm up s (1 + g (1 - s)), s = 1 / (1 + exp(-g)).
void silu_times_backward(float* gate, float* up, const float* dm, std::int64_t n);
/// Gradients dp at softmax weights p -> gradients at the scores: dp[i] = p[i] (dp[i] - mean), mean = sum of p dp over
/// the whole row.
void softmax_backward(const float* p, float* dp, std::int64_t n, float mean);
/// x[i] *= factor.
void scale(float* x, std::int64_t n, float factor);
/// x[i] += y[i].
void add(float* x, const float* y, std::int64_t n);
/// Sum of a[i] b[i].
float dot(const float* a, const float* b, std::int64_t n);
/// out[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]; out may be x.
void rms_norm_row(const float* x, const float* weight, std::int64_t n, double eps, float* out);
/// Gradient at the norm's output -> at its input x, in place: with r = 1 / sqrt(mean(x^2) + eps),
/// dy[i] = r (weight[i] dy[i] - x[i] r^2 / n sum_j weight[j] dy[j] x[j]).
void rms_norm_row_backward(const float* x, const float* weight, std::int64_t n, double eps, float* dy);
/// Turns the pairs (x[i], x[half + i]) by the angles given as cos[i], sin[i], i < half.
void rotate_halves(float* x, const float* cos, const float* sin, std::int64_t half);
/// x rounded to bf16 (to nearest even), kept as f32; out may be x.
void round_bf16(const float* x, std::int64_t n, float* out);
/// The same as 16-bit values.
void to_bf16(const float* x, std::int64_t n, std::uint16_t* out);

}  // namespace nearplane
