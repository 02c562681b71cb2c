// learning/device_model.cc: batches go to the device, sums stay there until somebody asks
#include "learning/device_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/check.h"
#include "learning/torch_network.h"

namespace muster::learning {
namespace {

// Rows that pass through the network together: enough to fill a GPU, and activations of the cnn stay below
// 100 MB.
constexpr std::int64_t kRowsAtOnce = 1024;

std::vector<Layer> views_of(const Network& network, const at::Tensor& flat) {
  const auto view = [&](const Tensor& tensor) {
    return flat.narrow(0, tensor.offset, tensor.size).view(tensor.shape);
  };
  std::vector<Layer> layers;
  for (std::size_t i = 0; i < network.tensors.size(); i += 2)
    layers.push_back({view(network.tensors[i]), view(network.tensors[i + 1])});
  return layers;
}

at::Tensor host_view(std::span<const float> values) {
  return at::from_blob(const_cast<float*>(values.data()), {std::ssize(values)}, at::kFloat);  // NOLINT
}

struct Batch {
  at::Tensor features;  // [n, F]
  at::Tensor labels;    // [n], int64
};

// A network on a device, and the host's scratch by which examples reach it.
class Place {
 public:
  Place(Network network, at::Device device)
      : network_(std::move(network)),
        device_(device),
        feature_count_(network_.convolutions.empty() ? network_.denses.front().inputs
                                                     : network_.rows * network_.columns) {}

  [[nodiscard]] const Network& network() const { return network_; }
  [[nodiscard]] at::Device device() const { return device_; }
  [[nodiscard]] at::Tensor empty() const {
    return at::zeros({network_.parameter_count}, at::TensorOptions(at::kFloat).device(device_));
  }
  [[nodiscard]] at::Tensor scalar() const {
    return at::zeros({}, at::TensorOptions(at::kDouble).device(device_));
  }

  void check_fits(std::span<const float> parameters, const Examples& data) const {
    MUSTER_CHECK(std::ssize(parameters) == network_.parameter_count);
    check_fits(data);
  }
  void check_fits(const Examples& data) const {
    MUSTER_CHECK(data.feature_count == feature_count_ && data.class_count <= network_.denses.back().outputs);
  }

  // Examples on the device. A copy from pageable memory is over when it returns: the scratch is free again.
  Batch batch(const Examples& data, std::span<const std::int64_t> rows) {
    features_.resize(rows.size() * static_cast<std::size_t>(feature_count_));
    labels_.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      MUSTER_CHECK(rows[i] >= 0 && rows[i] < data.size());
      data.copy_features(rows[i], 1, features_.data() + static_cast<std::int64_t>(i) * feature_count_);
      labels_[i] = data.labels[static_cast<std::size_t>(rows[i])];
    }
    const auto count = std::ssize(rows);
    return {host_view(features_).view({count, feature_count_}).to(device_),
            at::from_blob(labels_.data(), {count}, at::kLong).to(device_)};
  }

  // Calls body(rows) for parts of `rows` of at most kRowsAtOnce.
  template <typename Body>
  static void by_parts(std::span<const std::int64_t> rows, const Body& body) {
    const auto most = static_cast<std::size_t>(kRowsAtOnce);
    for (std::size_t begin = 0; begin < rows.size(); begin += most)
      body(rows.subspan(begin, std::min(most, rows.size() - begin)));
  }

  // Writes the gradient of the mean loss over `rows` to `sum` [P] and adds that loss to `loss`.
  void gradient(const std::vector<Layer>& layers, const Examples& data, std::span<const std::int64_t> rows,
                at::Tensor& sum, at::Tensor& loss) {
    sum.zero_();
    auto sums = views_of(network_, sum);
    const double scale = 1.0 / static_cast<double>(rows.size());
    by_parts(rows, [&](std::span<const std::int64_t> part) {
      const Batch batch = this->batch(data, part);
      const Pass pass = forward(network_, layers, batch.features);
      const at::Tensor logs = at::log_softmax(pass.logits, 1);
      const at::Tensor labels = batch.labels.unsqueeze(1);
      loss.sub_(logs.gather(1, labels).sum(at::kDouble), scale);
      at::Tensor flow = logs.exp();
      flow.scatter_add_(1, labels, at::full_like(labels, -1, flow.options()));
      backward(network_, layers, pass, flow.mul_(scale), sums, [](std::size_t) {});
    });
  }

 private:
  Network network_;
  at::Device device_;
  std::int64_t feature_count_;
  std::vector<float> features_;       // scratch [n, F]
  std::vector<std::int64_t> labels_;  // scratch [n]
};

// The arithmetic of learning/optimizer.cc, by whole vectors on the device.
class DeviceOptimizer {
 public:
  DeviceOptimizer(const spec::Optimizer& spec, const Place& place) : spec_(spec) {
    if (spec.name != "SGD" || spec.momentum > 0) mean_ = place.empty();
    if (spec.name != "SGD") square_ = place.empty();
  }

  // `gradient` is overwritten.
  void step(at::Tensor& parameters, at::Tensor& gradient) {
    ++steps_;
    const bool decoupled = spec_.name == "AdamW";
    if (spec_.weight_decay != 0 && !decoupled) gradient.add_(parameters, spec_.weight_decay);
    if (spec_.name == "SGD") {
      if (mean_.defined()) mean_.mul_(spec_.momentum).add_(gradient);
      parameters.sub_(mean_.defined() ? mean_ : gradient, spec_.learning_rate);
      return;
    }
    const auto exponent = static_cast<double>(steps_);
    mean_.mul_(spec_.beta1).add_(gradient, 1 - spec_.beta1);
    square_.mul_(spec_.beta2).addcmul_(gradient, gradient, 1 - spec_.beta2);
    const at::Tensor root =
        square_.sqrt().div_(std::sqrt(1 - std::pow(spec_.beta2, exponent))).add_(spec_.epsilon);
    if (decoupled) parameters.mul_(1 - spec_.learning_rate * spec_.weight_decay);
    parameters.addcdiv_(mean_, root, -spec_.learning_rate / (1 - std::pow(spec_.beta1, exponent)));
  }

 private:
  spec::Optimizer spec_;
  at::Tensor mean_;    // of gradients; SGD: the velocity; undefined: plain SGD
  at::Tensor square_;  // of their squares; undefined: SGD
  std::int64_t steps_ = 0;
};

class DeviceTraining : public ResidentTraining {
 public:
  DeviceTraining(Place& place, const spec::Optimizer& spec, std::span<const float> parameters)
      : place_(place),
        parameters_(
            host_view(parameters).to(place.device(), at::kFloat, /*non_blocking=*/false, /*copy=*/true)),
        layers_(views_of(place.network(), parameters_)),
        gradient_(place.empty()),
        loss_(place.scalar()),
        optimizer_(spec, place) {}

  void step(const Examples& data, std::span<const std::int64_t> rows) override {
    place_.check_fits(data);
    MUSTER_CHECK(!rows.empty());
    guarded([&] {
      place_.gradient(layers_, data, rows, gradient_, loss_);
      optimizer_.step(parameters_, gradient_);
    });
    ++steps_;
  }

  double mean_loss() override {
    const auto steps = static_cast<double>(std::exchange(steps_, 0));
    return guarded([&] {
      const double sum = loss_.item<double>();
      loss_.zero_();
      return steps > 0 ? sum / steps : 0.0;
    });
  }

  void read(std::span<float> parameters) override {
    MUSTER_CHECK(std::ssize(parameters) == parameters_.numel());
    guarded([&] { host_view(parameters).copy_(parameters_); });
  }

 private:
  Place& place_;
  at::Tensor parameters_;      // [P]
  std::vector<Layer> layers_;  // views of them
  at::Tensor gradient_;        // [P]
  at::Tensor loss_;            // sum since mean_loss, a double on the device
  DeviceOptimizer optimizer_;
  std::int64_t steps_ = 0;  // since mean_loss
};

class DeviceModel : public Model {
 public:
  DeviceModel(Network network, at::Device device)  // throws libtorch's exceptions
      : place_(std::move(network), device),
        parameters_(place_.empty()),
        gradient_(place_.empty()),
        layers_(views_of(place_.network(), parameters_)) {}

  std::span<const Tensor> tensors() const override { return place_.network().tensors; }
  std::int64_t parameter_count() const override { return place_.network().parameter_count; }
  std::vector<float> initial_parameters(std::uint64_t seed) const override {
    return initial_parameters_of(place_.network(), seed);
  }
  std::string device() const override { return place_.device().str(); }

  double gradient(std::span<const float> parameters, const Examples& data, std::span<const std::int64_t> rows,
                  std::span<float> gradient) override {
    place_.check_fits(parameters, data);
    MUSTER_CHECK(!rows.empty() && gradient.size() == parameters.size());
    return guarded([&] {
      parameters_.copy_(host_view(parameters));
      at::Tensor loss = place_.scalar();
      place_.gradient(layers_, data, rows, gradient_, loss);
      host_view(gradient).copy_(gradient_);
      return loss.item<double>();
    });
  }

  double loss(std::span<const float> parameters, const Examples& data,
              std::span<const std::int64_t> rows) override {
    place_.check_fits(parameters, data);
    MUSTER_CHECK(!rows.empty());
    return judge(parameters, data, rows).loss;
  }

  Evaluation evaluate(std::span<const float> parameters, const Examples& data) override {
    place_.check_fits(parameters, data);
    if (data.size() == 0) return {};
    std::vector<std::int64_t> rows(static_cast<std::size_t>(data.size()));
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i);
    return judge(parameters, data, rows);
  }

  std::unique_ptr<ResidentTraining> train_resident(const spec::Optimizer& optimizer,
                                                   std::span<const float> parameters) override {
    MUSTER_CHECK(std::ssize(parameters) == parameter_count());
    return guarded([&] { return std::make_unique<DeviceTraining>(place_, optimizer, parameters); });
  }

 private:
  Evaluation judge(std::span<const float> parameters, const Examples& data,
                   std::span<const std::int64_t> rows) {
    return guarded([&] {
      parameters_.copy_(host_view(parameters));
      at::Tensor loss = place_.scalar();
      at::Tensor correct = place_.scalar();
      Place::by_parts(rows, [&](std::span<const std::int64_t> part) {
        const Batch batch = place_.batch(data, part);
        const at::Tensor logits = forward(place_.network(), layers_, batch.features).logits;
        loss.sub_(at::log_softmax(logits, 1).gather(1, batch.labels.unsqueeze(1)).sum(at::kDouble));
        correct.add_(logits.argmax(1).eq(batch.labels).sum());
      });
      const auto count = static_cast<double>(rows.size());
      return Evaluation{loss.item<double>() / count, correct.item<double>() / count};
    });
  }

  Place place_;
  at::Tensor parameters_;      // [P], of the last call
  at::Tensor gradient_;        // [P]
  std::vector<Layer> layers_;  // views of parameters_
};

}  // namespace

std::string gpu() { return at::globalContext().hasCUDA() && at::getNumGPUs() > 0 ? "cuda:0" : ""; }

Result<std::unique_ptr<Model>> make_device_model(Network network, const std::string& device) {
  try {
    const c10::InferenceMode no_autograd;
    // The same inputs give the same bits, as on the host.
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
    at::globalContext().setAllowTF32CuDNN(false);  // float32 is what the manifest says
    at::globalContext().setAllowTF32CuBLAS(false);
    return std::unique_ptr<Model>(std::make_unique<DeviceModel>(std::move(network), at::Device(device)));
  } catch (const std::exception& error) {
    return invalid_argument("device " + device + ": libtorch: " + error.what());
  }
}

}  // namespace muster::learning
