// Translating a store: check it whole, write tensor by tensor into a temporary folder, read the folder back as a
// foreign reader would, compare, and only then give it its name. Memory: the bytes of one layer in a few arrangements,
// never the model.
#include "exporter/export.h"

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/process.h"
#include "exporter/format.h"
#include "exporter/gguf.h"
#include "exporter/kept.h"
#include "exporter/plan.h"
#include "exporter/read_back.h"
#include "exporter/shards.h"
#include "model/model.h"

namespace nearplane {
namespace {

constexpr std::int64_t kShardBytes = 5'000'000'000;
constexpr double kLargestF16 = 65504;

class Export {
 public:
  Export(const std::filesystem::path& path, const Format& format, Observer& observer)
      : store_(Store::open(path)), format_(format), observer_(observer) {
    plan_ = plan_export(store_);
    for (const auto& layer : plan_.layers)
      format.check(*store_.layout(layer.name).integer(), path.string() + ": layer " + layer.name);
    store_.verify();
  }

  ExportResult write(const std::filesystem::path& folder, std::int64_t shard_bytes) const;
  void read_back(const std::filesystem::path& folder) const;

 private:
  std::vector<TensorGroup> groups() const;
  TensorGroup group_of(const std::string& name, ExportPlan::Form form, DType dtype) const;
  void write_texts(const std::filesystem::path& folder) const;
  void step(const char* stage, const std::string& item, std::int64_t done) const {
    if (observer_.cancelled()) throw Error(ErrorCode::cancelled, "export stopped");
    observer_.on_progress({stage, item, done, std::ssize(plan_.items), -1, -1, resident_bytes()});
  }

  Store store_;
  const Format& format_;
  Observer& observer_;
  ExportPlan plan_;
};

std::vector<TensorGroup> Export::groups() const {
  std::vector<TensorGroup> out;
  std::int64_t rounded = 0;
  for (const auto& [name, form] : plan_.items) {
    if (form == ExportPlan::Form::layer) {
      out.push_back({name, format_.tensors(name, *store_.layout(name).integer()),
                     [this, name](const ByteSink& sink) { format_.write(*store_.quantized(name).integer(), sink); }});
      continue;
    }
    const auto kept =
        form == ExportPlan::Form::table ? plan_kept(store_.quantized(name)) : plan_kept(store_.kept(name));
    rounded += kept.exact ? 0 : 1;
    if (kept.largest > kLargestF16)
      observer_.on_message(Severity::warning, fmt::format("{}: values up to {:g} overflow in engines that compute in "
                                                          "float16, as config.json asks them to",
                                                          name, kept.largest));
    out.push_back(group_of(name, form, kept.dtype));
  }
  if (rounded > 0)
    observer_.on_message(
        Severity::info,
        fmt::format("{} tensors beside the layers are written exactly, in more than float16 has; engines "
                    "that compute in float16 round them on loading",
                    rounded));
  return out;
}

// A tensor that is no layer, as `dtype`.
TensorGroup Export::group_of(const std::string& name, ExportPlan::Form form, DType dtype) const {
  if (form == ExportPlan::Form::kept) {
    const auto& tensor = store_.kept(name);
    return {name, {{name, dtype, tensor.shape}}, [&tensor, dtype](const ByteSink& sink) {
              write_kept(tensor, dtype, sink);
            }};
  }
  const auto& sizes = store_.layout(name);
  return {name, {{name + ".weight", dtype, {sizes.rows(), sizes.cols()}}}, [this, name, dtype](const ByteSink& sink) {
            write_kept(store_.quantized(name), dtype, sink);
          }};
}

// The scales are f16 numbers: float16 is the one 16-bit type in which an engine reads them without rounding.
void Export::write_texts(const std::filesystem::path& folder) const {
  const auto quantization = format_.config(plan_.layers);
  auto config = plan_.config;
  config["torch_dtype"] = "float16";                          // transformers 4, vLLM
  if (config.contains("dtype")) config["dtype"] = "float16";  // transformers 5
  config["quantization_config"] = quantization;
  write_file(folder / "config.json", config.dump(2) + "\n");
  if (const auto name = format_.config_file(); !name.empty()) write_file(folder / name, quantization.dump(2) + "\n");
  for (const auto& file : side_files_in(store_.path())) write_file(folder / file.filename(), read_file(file));
}

ExportResult Export::write(const std::filesystem::path& folder, std::int64_t shard_bytes) const {
  write_texts(folder);
  ExportResult result;
  std::int64_t done = 0;
  const auto tensor_groups = groups();
  write_shards(folder, tensor_groups, shard_bytes, [&](const TensorGroup& group) {
    result.tensors += std::ssize(group.tensors);
    result.bytes += group.bytes();
    step("export", group.name, ++done);
  });
  return result;
}

void Export::read_back(const std::filesystem::path& folder) const {
  const auto file = open_safetensors(folder);
  const PackedConfig config(read_json(folder / "config.json")["quantization_config"],
                            (folder / "config.json").string());
  std::int64_t done = 0;
  for (const auto& [name, form] : plan_.items) {
    const auto where = folder.string() + ": " + name;
    if (form == ExportPlan::Form::layer)
      expect_same(*store_.quantized(name).integer(), unpack_layer(file, config, name), where);
    else if (!(form == ExportPlan::Form::table ? same_values(store_.quantized(name), file.get(name + ".weight"))
                                               : same_values(store_.kept(name), file.get(name))))
      throw Error(ErrorCode::io, "reads back differently", where);
    step("read back", name, ++done);
  }
}

const Format& format_of(ExportFormat format) {
  if (format == ExportFormat::gptq) return gptq_format();
  return format == ExportFormat::gptq_v2 ? gptq_v2_format() : compressed_tensors_format();
}

}  // namespace

ExportResult export_store(const std::filesystem::path& store, ExportFormat format, const std::filesystem::path& out,
                          std::int64_t shard_bytes, Observer& observer) {
  if (format == ExportFormat::gguf) return export_gguf(store, out, observer);
  AtomicFolder folder(out);
  const Export job(store, format_of(format), observer);
  const auto result = job.write(folder.path(), shard_bytes);
  job.read_back(folder.path());
  folder.commit();
  return result;
}

ExportResult export_store(const std::filesystem::path& store, ExportFormat format, const std::filesystem::path& out,
                          Observer& observer) {
  return export_store(store, format, out, kShardBytes, observer);
}

}  // namespace nearplane
