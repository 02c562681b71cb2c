#pragma once  // common/spec/training.h: spec.training, compression and security as typed values
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"
#include "common/spec/synchronization.h"

namespace muster::spec {

struct Model {
  std::string name = "cnn";               // softmax | mlp | cnn
  std::vector<std::int64_t> hidden{200};  // mlp only: widths of the hidden layers
  friend bool operator==(const Model&, const Model&) = default;
};

struct Csv {                           // dataset.csv: docs/data.md
  std::string label_column = "label";  // integer classes 0..C-1 or names; other named columns are features
  double test_fraction = 0.1;          // last rows after a seeded shuffle
  friend bool operator==(const Csv&, const Csv&) = default;
};

struct Synthetic {     // dataset.synthetic: synthetic(alpha, beta) of Li et al., MLSys 2020 (FedProx)
  double alpha = 1.0;  // standard deviations, as in the FedProx code
  double beta = 1.0;
  bool iid = false;
  std::int64_t devices = 30;
  double sigma = 2.0;  // of the log-normal device sizes
  friend bool operator==(const Synthetic&, const Synthetic&) = default;
};

struct Dataset {
  std::string name = "fashion-mnist";  // fashion-mnist | idx | csv | synthetic
  std::string path;                    // folder of IDX files, or the CSV file; unused by synthetic
  Csv csv;
  Synthetic synthetic;
  friend bool operator==(const Dataset&, const Dataset&) = default;
};

struct Optimizer {
  std::string name = "SGD";  // SGD | Adam | AdamW
  double learning_rate = 0.01;
  double momentum = 0.0;  // SGD
  double beta1 = 0.9;     // Adam, AdamW
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;  // L2 term added to the gradient; AdamW: of the parameters themselves
  friend bool operator==(const Optimizer&, const Optimizer&) = default;
};

struct Checkpoint {
  std::string path;  // folder; also receives model.safetensors and history.csv
  std::int64_t every_steps = 200;
  std::int64_t keep = 3;
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

// training.program: a program of the user's own in the container of the role, beside one of ours. Of a
// DistributedJob it makes the gradients, and has the model, the examples and, but with parameter servers, the
// optimizer; of a FederatedRound it trains the clients of its pod on their data.
struct Program {
  Json resources;  // of the sidecar: a container's limits and requests, as the user wrote them; null: none
  friend bool operator==(const Program&, const Program&) = default;
};

struct Training {                  // DistributedJob spec.training
  std::optional<Program> program;  // then model, dataset and objective say nothing
  Model model;
  Dataset dataset;
  std::string objective = "CrossEntropy";
  Optimizer optimizer;
  std::int64_t batch_size = 64;  // per worker
  std::int64_t epochs = 1;
  std::int64_t seed = 0;
  std::optional<Checkpoint> checkpoint;  // absent: nothing is written
  friend bool operator==(const Training&, const Training&) = default;
};

struct Compression {                    // DistributedJob spec.compression: of what workers send each other
  std::int64_t quantization_bits = 32;  // of a value: 32, 16, 8, 4, 2, 1
  std::string format{};        // of 16 bits: Float16 (the default) or BFloat16; of 4: Integer or E3M0
  double top_k_fraction = 1;   // in (0, 1]; below 1 only the largest are sent
  double prune_below = 0;      // above 0: only values of larger magnitude are sent
  std::int64_t low_rank = 0;   // above 0: PowerSGD of this rank
  bool error_feedback = true;  // what is left out is added to the next step's
  // Sent as frames of a codec: topology Direct.
  [[nodiscard]] bool by_codec() const {
    return quantization_bits < 32 || top_k_fraction < 1 || prune_below > 0;
  }
  friend bool operator==(const Compression&, const Compression&) = default;
};

struct Security {                // DistributedJob spec.security
  bool encrypt_traffic = false;  // TLS 1.3 on the connections between workers
  friend bool operator==(const Security&, const Security&) = default;
};

// Strict: unknown fields, wrong types and values out of range are errors with the field's path.
[[nodiscard]] Result<Training> training_from_json(const Json& json,
                                                  const std::string& path = "spec.training");
[[nodiscard]] Result<Compression> compression_from_json(const Json& json,
                                                        const std::string& path = "spec.compression");
[[nodiscard]] Result<Security> security_from_json(const Json& json,
                                                  const std::string& path = "spec.security");
[[nodiscard]] Result<Model> model_from_json(const Json& json, const std::string& path);
[[nodiscard]] Result<Dataset> dataset_from_json(const Json& json, const std::string& path);
[[nodiscard]] Result<Optimizer> optimizer_from_json(const Json& json, const std::string& path);

// `path`.program of either kind, which excludes model and dataset; absent: nothing.
[[nodiscard]] Status read_program(const Json& json, const std::string& path, std::optional<Program>& program);
[[nodiscard]] Json to_json(const Program& program);

[[nodiscard]] Json to_json(const Model& model);
[[nodiscard]] Json to_json(const Dataset& dataset);
[[nodiscard]] Json to_json(const Optimizer& optimizer);
[[nodiscard]] Json to_json(const Training& training);
[[nodiscard]] Json to_json(const Compression& compression);
[[nodiscard]] Json to_json(const Security& security);

// Of a training in JSON, of either kind: what decides what is learnt, for fingerprints of checkpoints. Where
// the data is says nothing about what it is (its digest does), nor does what a program's sidecar may take.
[[nodiscard]] Json what_is_learnt(Json training);

// Of a training in JSON, of either kind, at its defaults: the fields that may be absent. Those of all
// models, datasets and optimizers are there.
[[nodiscard]] Json optional_fields(Json training);

}  // namespace muster::spec
