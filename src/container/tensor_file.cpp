#include "container/tensor_file.h"

#include "base/check.h"

namespace nearplane {

const StoredTensor* TensorFile::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

const StoredTensor& TensorFile::get(const std::string& name) const {
  const auto* tensor = find(name);
  if (!tensor) fail_input(path_.string(), "tensor '{}' is missing", name);
  return *tensor;
}

std::vector<std::filesystem::path> TensorFile::files() const {
  std::vector<std::filesystem::path> out;
  for (const auto& file : files_) out.push_back(file->path());
  return out;
}

void TensorFile::release(const StoredTensor& tensor) const {
  for (const auto& file : files_)
    if (file->path().string() == tensor.file) file->release(tensor.bytes);
}

}  // namespace nearplane
