// Asks by stubs that @grpc/proto-loader makes of a .proto: `node node.js PROTO ADDRESS TOKEN`.
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [proto, address, token] = process.argv.slice(2);
const { inference } = grpc.loadPackageDefinition(loader.loadSync(proto, { keepCase: true, longs: Number }));
const client = new inference.GRPCInferenceService(address, grpc.credentials.createInsecure());
const shown = new grpc.Metadata();
shown.set("authorization", `Bearer ${token}`);

const call = (method, message, metadata = shown) =>
  new Promise((resolve) =>
    client[method](message, metadata, (error, answer) => resolve(error ? grpc.status[error.code] : answer)),
  );
const tensor = (name, datatype, field, values) => ({
  name,
  datatype,
  shape: [values.length, 1],
  contents: { [field]: values },
});
const texts = (values) => values.map((value) => Buffer.from(value));
const asked = {
  model_name: "tiny",
  parameters: { ids: { string_param: JSON.stringify(["node-0", "node-1"]) } },
  inputs: [
    tensor("amount", "FP64", "fp64_contents", [12.5, 3]),
    tensor("size", "INT64", "int64_contents", [3, 8]),
    tensor("colour", "BYTES", "bytes_contents", texts(["red", "bläu"])),
    tensor("member", "BOOL", "bool_contents", [true, false]),
    tensor("seen", "BYTES", "bytes_contents", texts(["2026-01-31T12:00:00Z", ""])),
  ],
};

(async () => {
  const { ready } = await call("ModelReady", { name: "tiny" }, new grpc.Metadata());
  const answer = await call("ModelInfer", asked);
  const [prediction, probabilities] = answer.outputs;
  const numbers = probabilities.contents.fp64_contents;
  const found = {
    ready,
    prediction: prediction.contents.bytes_contents.map((one) => one.toString()),
    probabilities: [numbers.slice(0, 2), numbers.slice(2)],
    ids: answer.parameters.ids.string_param,
    classes: probabilities.parameters.classes.string_param,
    refused: [
      await call("ModelInfer", asked, new grpc.Metadata()),
      await call("ModelInfer", { ...asked, model_version: "v2" }),
      await call("ModelInfer", { ...asked, inputs: [] }),
    ],
  };
  console.log(JSON.stringify(found));
  client.close();
})();
