#pragma once  // tests/admission/field_cases.h: what may be wrong with one field, made from the schema
#include <string>
#include <vector>

#include "common/json/fields.h"

namespace muster::admission {

struct FieldCase {
  enum class Expect {
    kRefused,   // the message names the path and has `words`
    kFits,      // nothing is said of this path; of others there may be
    kAsAbsent,  // whatever is said of the object without the field
  };
  std::string what;  // "job-csv: spec.training.epochs above its maximum"
  std::string file;  // of the sample
  std::string path;
  Json object;
  Expect expect = Expect::kRefused;
  std::vector<std::string> words{};  // of the API server: what would be right
  bool by_reader = false;            // the operator's reader refuses it, too
  Json absent{};                     // of kAsAbsent
};

// The cases of all fields below `part` ("spec", "status") of the kind, each in the first sample that has it.
// Fails the test for a field that no sample has.
[[nodiscard]] std::vector<FieldCase> field_cases(const std::string& kind, const std::string& part);

}  // namespace muster::admission
