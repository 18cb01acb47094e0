# "docker buildx bake --push" builds the four images for both architectures, and pushes them. The names are those in
# docker-compose.yml.
variable "REGISTRY" {
  default = "dockercoins-cpp"
}

variable "TAG" {
  default = "v0.1"
}

target "default" {
  name       = service
  matrix     = { service = ["rng", "hasher", "worker", "webui"] }
  dockerfile = "${service}/Dockerfile"
  tags       = ["${REGISTRY}/${service}:${TAG}"]
  platforms  = ["linux/amd64", "linux/arm64"]
}
