#pragma once  // tests/fuzz/things.h: a custom kind with some of everything that a schema can say
#include "local/api/crd.h"
#include "local/api/yaml.h"
#include "tests/fuzz/fuzz.h"

namespace muster::fuzz {

inline const std::vector<local::KindPtr>& thing_kinds() {
  static const std::vector<local::KindPtr> kKinds = [] {
    auto crd = local::parse_yaml(R"(
metadata: {name: things.example.dev}
spec:
  group: example.dev
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}
  versions:
  - name: v1
    served: true
    storage: true
    selectableFields: [{jsonPath: .spec.owner}]
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Since, type: date, jsonPath: .spec.since}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            x-kubernetes-validations:
            - {rule: '!has(self.parts) || self.parts.all(p, p.weight <= self.size)', messageExpression: '"no: " + string(self.size)', fieldPath: .parts}
            properties:
              owner: {type: string, minLength: 2, pattern: '^[a-z]+$'}
              mode: {type: string, enum: ['on', 'off'], x-kubernetes-validations: [{rule: self == oldSelf}]}
              size: {type: integer, minimum: 1, maximum: 100, default: 10}
              ratio: {type: number, multipleOf: 0.5, nullable: true}
              since: {type: string, format: date-time}
              replicas: {type: integer, default: 1}
              port: {x-kubernetes-int-or-string: true}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              map: {type: object, additionalProperties: {type: integer}, x-kubernetes-map-type: atomic}
              one: {type: object, x-kubernetes-preserve-unknown-fields: true, oneOf: [{required: [a]}, {required: [b]}]}
              template: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
              parts:
                type: array
                maxItems: 8
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, weight: {type: integer, default: 1}}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
)");
    MUSTER_CHECK(crd.has_value());
    local::default_crd(*crd);
    MUSTER_CHECK(local::validate_crd(*crd, nullptr).empty());
    return local::kinds_of_crd(*crd);
  }();
  return kKinds;
}

}  // namespace muster::fuzz
