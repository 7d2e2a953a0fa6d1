// What an exported checkpoint consists of: the store held against the model's config before anything is written.
#pragma once

#include <string>
#include <vector>

#include "exporter/format.h"
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
  ExportGrid grid;
};

/// Error{bad_input} if store and config do not fit together; Error{unsupported} naming layer and reason if `format`
/// cannot carry the layers, or if they do not share one grid.
ExportPlan plan_export(const Store& store, const Format& format);

}  // namespace nearplane
