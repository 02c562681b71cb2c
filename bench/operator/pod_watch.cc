// bench/operator/pod_watch.cc: an informer on all pods of the namespace
#include "bench/operator/pod_watch.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>

#include "common/json/access.h"

namespace muster {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{300};
// The first one that a pod has holds its job's name; pods of JobSets have their Job's, too.
constexpr std::array kNameLabels{"muster.dev/job-name", "jobset.sigs.k8s.io/jobset-name",
                                 "batch.kubernetes.io/job-name"};

}  // namespace

void die(const std::string& what) {
  fmt::print(stderr, "operator_bench: {}\n", what);
  std::exit(1);
}

PodWatch::PodWatch(kube::Client& client) {
  kube::Informer::Options options;
  options.ns = kBenchNamespace;
  options.on_change = [this](const kube::Object& pod, bool deleted) { changed(*pod, deleted); };
  informer_ = std::make_unique<kube::Informer>(client, kube::kPods, std::move(options));
  informer_->start();
  if (!informer_->wait_synced(deadline_after(kPatience))) die("the pods cannot be listed");
}

void PodWatch::changed(const Json& pod, bool deleted) {
  std::string job;
  for (const char* label : kNameLabels)
    if (job.empty()) job = text(member(pod, "metadata", "labels", label));
  if (job.empty()) return;
  const std::lock_guard lock(mutex_);
  if (deleted) {
    present_.erase(meta_text(pod, "name"));
  } else {
    present_[meta_text(pod, "name")] = job;
    if (jobs_[job].uids.insert(meta_text(pod, "uid")).second) jobs_[job].last = steady_clock::now();
  }
  changed_.notify_all();
}

steady_clock::time_point PodWatch::wait(const std::string& job, std::size_t count) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [&] { return jobs_[job].uids.size() >= count; })) {
    die(fmt::format("{} of {} pods of {} were created in {} s", jobs_[job].uids.size(), count, job,
                    kPatience.count()));
  }
  return jobs_[job].last;
}

void PodWatch::wait_gone() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [&] { return present_.empty(); }))
    die(fmt::format("{} pods are not gone {} s after their deletion", present_.size(), kPatience.count()));
}

std::vector<std::string> PodWatch::pods() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [pod, job] : present_) names.push_back(pod);
  return names;
}

std::vector<std::string> PodWatch::pods_of(const std::string& job) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [pod, owner] : present_)
    if (owner == job) names.push_back(pod);
  return names;
}

}  // namespace muster
