# Run it with PITH_ACCESS_KEY set to the token that clients must bring: it listens on all addresses.
# The build is CI's own: with cgo (tree-sitter) and a static link, so that the image needs no C library.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN .ci/build /pith

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /pith /pith
USER 65532:65532
EXPOSE 8787
ENTRYPOINT ["/pith"]
CMD ["serve", "--listen", "0.0.0.0:8787"]
