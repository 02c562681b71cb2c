#pragma once  // cli/convert/convert.h: manifests of Kubeflow's training operators into DistributedJobs
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace muster::cli {

struct Converted {
  std::string yaml;                  // of all documents
  std::vector<std::string> missing;  // "TrainJob/llm: ...": what a person has to do before they can run
};

// PyTorchJob (kubeflow.org/v1), TrainJob (trainer.kubeflow.org/v1alpha1) and MPIJob (kubeflow.org/v2beta1) of
// `text`, YAML or JSON, become DistributedJobs with a comment at each field that has no equal; lists are
// taken apart; other objects pass through unchanged. A runtime that a TrainJob names is looked for in the
// same text. Errors: kInvalidArgument, naming file, line and field: no YAML, no kind, another kind of
// Kubeflow's training, a field of a wrong type, nothing to convert.
[[nodiscard]] Result<Converted> convert_manifests(std::string_view text, const std::string& file);

}  // namespace muster::cli
