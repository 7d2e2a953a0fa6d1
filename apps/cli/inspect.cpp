#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <map>

#include "command.h"
#include "nearplane/inspect.h"

namespace nearplane::cli {
namespace {

void print_tensors(const Inspection& inspection) {
  fmt::print("{:<48} {:<18} {:>16} {:>12}\n", "tensor", "type", "shape", "bytes");
  for (const auto& t : inspection.tensors)
    fmt::print("{:<48} {:<18} {:>16} {:>12}\n", t.name, t.dtype, fmt::format("{}", fmt::join(t.shape, " x ")), t.bytes);
}

// Bits per weight that an optimal code would need less for the same error.
std::string bits_above_limit(const LayerRecord& layer) {
  return layer.error > 0 && layer.limit > 0 ? fmt::format("{:.3f}", std::log2(layer.error / layer.limit) / 2) : "-";
}

std::string scientific(double value) { return value < 0 ? "-" : fmt::format("{:.3e}", value); }

void print_layers(const Inspection& inspection) {
  fmt::print("\n{:<38} {:>6} {:>10} {:>10} {:>10} {:>10} {:>7} {:>8} {:>8} {:>5}\n", "layer", "bits", "error",
             "expected", "bound", "limit", "above", "clipped", "damping", "dead");
  for (const auto& l : inspection.layers)
    fmt::print("{:<38} {:>6.3f} {:>10} {:>10} {:>10} {:>10} {:>7} {:>7.3f}% {:>8.2g} {:>5}\n", l.name,
               l.bits_per_weight, scientific(l.error), scientific(l.expectation), scientific(l.bound),
               scientific(l.limit), bits_above_limit(l), 100 * l.clipped_share, l.damping, l.dead_columns);
}

int run(const std::string& path) {
  const auto inspection = inspect(path);
  print_tensors(inspection);
  if (!inspection.layers.empty()) print_layers(inspection);
  fmt::print("\n{}{}{}: {} tensors, {} bytes\n", inspection.kind, inspection.family.empty() ? "" : ", family ",
             inspection.family, inspection.tensors.size(), inspection.total_bytes);
  if (inspection.linear_weights > 0)
    fmt::print("linear layers: {} weights, {:.4f} bits per weight\n", inspection.linear_weights,
               8.0 * static_cast<double>(inspection.linear_bytes) / static_cast<double>(inspection.linear_weights));
  for (const auto& [part, bytes] : inspection.parts)
    fmt::print("  {:<14} {:>9.4f}\n", part,
               8.0 * static_cast<double>(bytes) / static_cast<double>(inspection.linear_weights));
  print_embeddings(inspection.embeddings);
  return 0;
}

}  // namespace

void print_embeddings(const std::vector<EmbeddingRecord>& embeddings) {
  for (const auto& e : embeddings)
    fmt::print("{}: {} x {}, {:.3f} bits per weight, relative error {:.3e}, {} bytes\n", e.name, e.rows, e.cols,
               e.bits_per_weight(), e.error, e.stored_bytes);
}

void add_inspect(CLI::App& program, Action& action) {
  auto* app = program.add_subcommand("inspect", "tensors, bits, and what quantization did to each layer");
  auto path = std::make_shared<std::string>();
  app->add_option("PATH", *path, "Hugging Face folder, GGUF or safetensors file, or store")->required();
  app->callback([&action, path] { action = [path] { return run(*path); }; });
}

}  // namespace nearplane::cli
