#include "qtensor/store.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <set>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/hash.h"
#include "qtensor/store_layer.h"

namespace nearplane {
namespace {

constexpr const char* kManifest = "nearplane.json";
constexpr const char* kFormat = "nearplane-store";
constexpr int kVersion = 1;

DType known_dtype(const std::string& name, const std::string& where) {
  const auto type = dtype_from_name(name);
  if (!type) fail_unsupported(where, "element type {} is not known", name);
  return *type;
}

// Safetensors has no block types: their bytes are kept as U8.
DType stored_type(DType type) { return dtype_info(type).block == 1 ? type : DType::u8; }

}  // namespace

struct StoreWriter::State {
  std::filesystem::path folder;
  Json parts = Json::array();
  std::set<std::string> names;  // of all parts so far

  void claim(const std::string& name) {
    if (!names.insert(name).second) fail_input(folder.string(), "tensor {} is written twice", name);
  }
};

StoreWriter::StoreWriter(const std::filesystem::path& folder) : state_(std::make_unique<State>()) {
  state_->folder = folder;
}
StoreWriter::~StoreWriter() = default;

Json StoreWriter::write_part(const std::string& part,
                             const std::vector<std::pair<std::string, const QuantizedTensor*>>& quantized,
                             const std::vector<KeptTensor>& kept) {
  std::vector<TensorToWrite> tensors;
  Json described = Json::object();
  for (const auto& [name, t] : quantized) {
    state_->claim(name);
    t->validate(name);
    described[name] = write_layer(name, *t, tensors);
  }
  for (const auto& t : kept) {
    state_->claim(t.name);
    const auto stored = stored_type(t.dtype);
    tensors.push_back({t.name, stored, stored == t.dtype ? t.shape : std::vector{std::ssize(t.bytes)}, t.bytes});
    described[t.name] = {
        {"kind", "kept"}, {"dtype", dtype_info(t.dtype).name}, {"shape", t.shape}, {"checksum", hash64_hex(t.bytes)}};
  }
  const auto file = part + ".safetensors";
  const auto description = described.dump();
  write_safetensors(state_->folder / file, tensors, {{"format", kFormat}, {"tensors", description}});
  return state_->parts.emplace_back(
      Json{{"file", file}, {"checksum", hash64_hex(std::as_bytes(std::span(description)))}});
}

void StoreWriter::write_text(const std::string& name, std::string_view text) {
  write_file(state_->folder / name, text);
}

void StoreWriter::finish(const Json& manifest) {
  Json whole = {{"format", kFormat}, {"version", kVersion}};
  assert(!manifest.contains("format") && !manifest.contains("version") && !manifest.contains("parts"));
  whole.update(manifest);
  whole["parts"] = state_->parts;
  write_file(state_->folder / kManifest, whole.dump(2) + "\n");
}

struct Store::State {
  std::filesystem::path path;
  Json manifest;
  std::vector<TensorFile> parts;
  std::vector<std::string> quantized_names, kept_names;
  std::map<std::string, StoredLayer> layers;
  std::map<std::string, StoredTensor> kept;
  std::map<std::string, std::string> kept_checksums;

  const StoredLayer& layer(const std::string& name) const {
    const auto it = layers.find(name);
    if (it == layers.end()) fail_input(path.string(), "quantized layer '{}' is missing", name);
    return it->second;
  }
  void add_part(const Json& entry);
  void add_kept(const TensorFile& part, const std::string& name, const Json& entry);
};

void Store::State::add_part(const Json& listed) {
  const auto manifest_file = (path / kManifest).string();
  const auto file = json_get<std::string>(listed, "file", manifest_file);
  if (std::filesystem::path(file).filename() != file || std::filesystem::path(file).extension() != ".safetensors")
    fail_input(manifest_file, "part '{}' is not the plain name of a .safetensors file", file);
  const auto where = (path / file).string();
  if (!std::filesystem::exists(path / file)) fail_input(where, "this part of the store is missing");
  const auto& part = parts.emplace_back(open_safetensors(path / file));
  const auto metadata = where + ": __metadata__";
  if (json_get<std::string>(part.metadata(), "format", metadata) != kFormat)
    fail_input(where, "is no part of a nearplane store");
  const auto description = json_get<std::string>(part.metadata(), "tensors", metadata);
  if (hash64_hex(std::as_bytes(std::span(description))) != json_get<std::string>(listed, "checksum", manifest_file))
    fail_input(where, "its description is not the one {} lists: damaged, or of another store", kManifest);
  const auto described = parse_json(description, where + ": description");
  std::size_t pieces = 0;
  for (const auto& [name, entry] : described.items()) {
    const auto at = where + ": tensor " + name;
    if (layers.contains(name) || kept.contains(name)) fail_input(at, "is in another part already");
    if (json_get<std::string>(entry, "kind", at) == "kept") {
      add_kept(part, name, entry);
      ++pieces;
      continue;
    }
    const auto& layer = layers.emplace(name, StoredLayer::open(part, name, entry)).first->second;
    quantized_names.push_back(name);
    pieces += static_cast<std::size_t>(std::ssize(layer.pieces) -
                                       std::count(layer.pieces.begin(), layer.pieces.end(), nullptr));
  }
  if (pieces != part.tensors().size())
    fail_input(where, "holds {} tensors, {} are described", part.tensors().size(), pieces);
}

void Store::State::add_kept(const TensorFile& part, const std::string& name, const Json& entry) {
  auto tensor = part.get(name);
  const auto where = tensor.where();
  const auto stored = tensor.dtype;
  tensor.dtype = known_dtype(json_get<std::string>(entry, "dtype", where), where);
  tensor.shape = json_get<std::vector<std::int64_t>>(entry, "shape", where);
  const auto& info = dtype_info(tensor.dtype);
  if (stored != stored_type(tensor.dtype))
    fail_input(where, "is stored as {}, described as {}", dtype_info(stored).name, info.name);
  std::int64_t elements = 1;
  for (const auto extent : tensor.shape)
    if (extent < 0 || __builtin_mul_overflow(elements, extent, &elements))
      fail_input(where, "extent {} is out of range", extent);
  if ((info.block > 1 && (tensor.shape.empty() || tensor.shape.back() % info.block != 0)) ||
      elements / info.block > std::ssize(tensor.bytes) ||
      dtype_bytes(tensor.dtype, elements) != std::ssize(tensor.bytes))
    fail_input(where, "{} bytes do not hold {} elements of {}", tensor.bytes.size(), elements, info.name);
  kept_checksums[name] = json_get<std::string>(entry, "checksum", where);
  kept.emplace(name, std::move(tensor));
  kept_names.push_back(name);
}

void StoreWriter::take_part(const Json& entry) {
  auto part = std::make_shared<Store::State>();
  part->path = state_->folder;
  part->parts.reserve(1);
  part->add_part(entry);
  Store store;
  store.state_ = part;
  store.verify();
  for (const auto& name : store.quantized_names()) state_->claim(name);
  for (const auto& name : store.kept_names()) state_->claim(name);
  state_->parts.push_back(entry);
}

bool Store::is_store(const std::filesystem::path& path) { return std::filesystem::exists(path / kManifest); }

Store Store::open(const std::filesystem::path& path) {
  auto state = std::make_shared<State>();
  state->path = path;
  const auto where = (path / kManifest).string();
  state->manifest = read_json(path / kManifest);
  if (json_get<std::string>(state->manifest, "format", where) != kFormat) fail_input(where, "is no nearplane store");
  const auto version = json_get<int>(state->manifest, "version", where);
  if (version != kVersion)
    fail_unsupported(where, "store version {}; this program reads version {}", version, kVersion);
  const auto parts = state->manifest.find("parts");
  if (parts == state->manifest.end() || !parts->is_array()) fail_input(where, "key 'parts' is missing or not a list");
  state->parts.reserve(parts->size());  // layers point into the parts
  for (const auto& part : *parts) state->add_part(part);
  Store store;
  store.state_ = std::move(state);
  return store;
}

const std::filesystem::path& Store::path() const { return state_->path; }
const Json& Store::manifest() const { return state_->manifest; }
const std::vector<std::string>& Store::quantized_names() const { return state_->quantized_names; }
const std::vector<std::string>& Store::kept_names() const { return state_->kept_names; }

const QuantizedTensor& Store::layout(const std::string& name) const { return state_->layer(name).layout; }

std::int64_t Store::stored_bytes(const std::string& name) const {
  std::int64_t bytes = 0;
  for (const auto* piece : state_->layer(name).pieces)
    if (piece != nullptr) bytes += std::ssize(piece->bytes);
  return bytes;
}

QuantizedTensor Store::quantized(const std::string& name) const {
  const auto& layer = state_->layer(name);
  auto tensor = layer.read();
  for (const auto* piece : layer.pieces)  // copied: the mapped pages would count twice
    if (piece != nullptr)
      for (const auto& part : state_->parts) part.release(*piece);
  return tensor;
}

const StoredTensor& Store::kept(const std::string& name) const {
  const auto it = state_->kept.find(name);
  if (it == state_->kept.end()) fail_input(state_->path.string(), "tensor '{}' is missing", name);
  return it->second;
}

void Store::verify() const {
  for (const auto& name : quantized_names()) (void)quantized(name);
  for (const auto& [name, expected] : state_->kept_checksums)
    if (hash64_hex(kept(name).bytes) != expected)
      fail_input(kept(name).where(), "checksum differs: the file is damaged");
}

}  // namespace nearplane
