#pragma once  // tests/admission/admission.h: objects of both kinds as the API server and the operator judge
              // them
#include <string>
#include <vector>

#include "common/json/fields.h"
#include "local/tests/api/harness.h"

namespace muster::admission {

struct Sample {
  std::string file;  // below tests/admission/samples
  Json object;
};
// Objects that are all right and have, together, every field of both kinds.
[[nodiscard]] const std::vector<Sample>& samples();
[[nodiscard]] Json sample(const std::string& file);
[[nodiscard]] Json load(const std::string& path);  // a YAML file of the tree
// The schema of a kind, as the definition has it.
[[nodiscard]] const Json& schema_of(const std::string& kind);

struct Verdict {
  int code = 0;
  std::string message;  // as users see it
  Json causes;          // of details
  Json object;          // what was stored, or would be
  [[nodiscard]] bool taken() const { return code / 100 == 2; }
  // What is said of one field, or the whole message if no cause names it and the message does; else "".
  [[nodiscard]] std::string about(const std::string& path) const;
};

// The API server of `muster run` and `muster local up`, with both definitions. All but keep and remove are
// dry runs.
class Server {
 public:
  Server();
  [[nodiscard]] Verdict create(const Json& object);  // of either kind, strictly
  [[nodiscard]] Verdict create_pod(const Json& manifest);
  // Stores the object with its status, until it is removed.
  [[nodiscard]] Json keep(const Json& object);
  void remove(const Json& object);
  // Another spec, or another status, in place of that of an object that is kept.
  [[nodiscard]] Verdict change(const Json& changed);
  [[nodiscard]] Verdict change_status(const Json& changed);

 private:
  local::Api api_;
};

// The spec by the operator's strict reader: why it becomes InvalidSpec, or fine.
[[nodiscard]] Status read(const Json& object);

// A refusal of our own says what to write instead, not only what is wrong.
[[nodiscard]] bool has_remedy(const std::string& message);

}  // namespace muster::admission
