// tests/fuzz/spec_fuzz.cc: specs of trainings as pods get them, whole jobs as the operator and the command
// line see them, and pods' last words; all JSON. What was read must survive being written.
#include "cli/job_view.h"
#include "common/spec/distributed_job.h"
#include "common/spec/federated_round.h"
#include "operator/api/distributed_job.h"
#include "operator/api/federated_round.h"
#include "operator/core/progress.h"
#include "tests/fuzz/fuzz.h"

namespace spec = muster::spec;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(muster::fuzz::text_of(data, size));
  (void)muster::op::last_words_of(text);
  const auto json = muster::parse_json(text, "input");
  if (!json) return 0;
  if (const auto training = spec::training_from_json(*json))
    MUSTER_CHECK(spec::training_from_json(spec::to_json(*training)).value() == *training);
  if (const auto round = spec::federated_round_from_json(*json)) {
    const muster::Json told = spec::federated_round_for_pods(*json);
    MUSTER_CHECK(spec::federated_round_from_json(told).value().federation == round->federation);
    const muster::Json whole = spec::to_json(round->federation);
    MUSTER_CHECK(spec::federated_round_from_json(whole).value().federation == round->federation);
  }
  if (const auto job = spec::distributed_job_from_json(*json)) {
    const auto told = spec::distributed_job_from_json(spec::distributed_job_for_pods(*json)).value();
    MUSTER_CHECK(told.training == job->training && told.synchronization == job->synchronization &&
                 told.security == job->security);
  }
  (void)muster::op::api::distributed_job_spec_from_json(*json);
  (void)muster::op::api::federated_round_spec_from_json(*json);
  (void)muster::op::api::distributed_job_from_json(*json);
  (void)muster::op::api::federated_round_from_json(*json);
  (void)muster::cli::view_job(*json);
  (void)muster::cli::view_pod(*json);
  return 0;
}
