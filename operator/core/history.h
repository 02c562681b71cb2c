#pragma once  // operator/core/history.h: what is kept of an object that has ended, when the object itself is
              // gone
#include <chrono>
#include <string>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

struct HistoryLimits {          // of a namespace
  std::size_t records_max = 0;  // 0: no records are kept
  std::chrono::hours age_max{24 * 90};
};

struct RecordedRole {
  const char* role = "";  // whose container is the one that counts
  std::int64_t count = 0;
  const Json* pod_template = nullptr;  // of these, if there is one
};

// What a record tells of the pods.
struct RecordedPods {
  std::vector<RecordedRole> roles{};  // the one that the object is about first
  std::string default_image{};        // of that one, where its template names none
};

// A record, at most 2 KiB: kind, name, uid, result, reason, message (of a failure), started, ended, seconds,
// restarts, disruptions, progress, pods (of all roles), image and resources (of the first role), roles (of
// each other: pods and resources, by name). What is not known is absent.
[[nodiscard]] Json history_record(const api::ObjectMeta& meta, const char* kind, const api::JobStatus& status,
                                  const RecordedPods& pods);

// Writes the record before the status that ends the object. Its key is the object's uid, so a pass that is
// made again after a crash between the two writes it again, not twice; and none is lost.
void record_end(Pass& pass, const RecordedPods& pods);

// Before an object that has ended is deleted by its TTL. An API server that refuses the record puts that off
// for ten minutes, for which the right may be given back.
void record_before_deletion(Pass& pass, const RecordedPods& pods, WallTime due);

// Keys of `data`, of the ConfigMap with the records, that are to go: those that ended more than `age_max`
// ago, and, once there are more than `records_max` of them (or too many bytes), the oldest until a tenth is
// free: so not every record costs a second write. What is no record stays.
[[nodiscard]] std::vector<std::string> excess_records(const Json& data, const HistoryLimits& limits,
                                                      WallTime now);

}  // namespace muster::op
