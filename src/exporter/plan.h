// What an exported checkpoint consists of: the store held against the model's config before anything is written.
#pragma once

#include <string>
#include <vector>

#include "exporter/packed_config.h"
#include "model/model.h"
#include "qtensor/store.h"

namespace nearplane {

struct ExportPlan {
  enum class Form {
    layer,  // a quantized layer of a block, by module name
    table,  // embedding or head in codes, by module name
    kept,   // any other tensor
  };
  struct Item {
    std::string name;
    Form form;
  };
  std::vector<Item> items;  // model order
  Json config;              // config.json of the store
  ModelConfig model;
  std::vector<LayerGrid> layers;  // the quantized ones, model order
};

/// Error{bad_input} if store and config do not fit together; Error{unsupported} naming layer and reason if a layer of a
/// block is not in integer codes in groups of equal length.
ExportPlan plan_export(const Store& store);

}  // namespace nearplane
