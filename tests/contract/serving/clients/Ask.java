import com.google.protobuf.ByteString;
import inference.GRPCInferenceServiceGrpc;
import inference.GRPCInferenceServiceGrpc.GRPCInferenceServiceBlockingStub;
import inference.Inference.InferParameter;
import inference.Inference.InferTensorContents;
import inference.Inference.ModelInferRequest;
import inference.Inference.ModelInferResponse;
import inference.Inference.ModelReadyRequest;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.util.List;
import java.util.stream.Collectors;

/** Asks by stubs that protoc makes of a .proto: `java Ask ADDRESS TOKEN`. */
public final class Ask {
  public static void main(String[] arguments) {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    GRPCInferenceServiceBlockingStub stranger = GRPCInferenceServiceGrpc.newBlockingStub(channel);
    Metadata shown = new Metadata();
    shown.put(
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + arguments[1]);
    GRPCInferenceServiceBlockingStub known =
        stranger.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(shown));
    boolean ready = stranger.modelReady(ModelReadyRequest.newBuilder().setName("tiny").build()).getReady();
    ModelInferRequest asked = asked();
    ModelInferResponse answer = known.modelInfer(asked);
    List<Double> p = answer.getOutputs(1).getContents().getFp64ContentsList();
    System.out.printf(
        "{\"ready\": %s, \"prediction\": [%s], \"probabilities\": [[%s, %s], [%s, %s]],"
            + " \"ids\": %s, \"classes\": %s, \"refused\": [%s, %s, %s]}%n",
        ready,
        answer.getOutputs(0).getContents().getBytesContentsList().stream()
            .map(one -> quoted(one.toStringUtf8()))
            .collect(Collectors.joining(", ")),
        p.get(0),
        p.get(1),
        p.get(2),
        p.get(3),
        quoted(answer.getParametersOrThrow("ids").getStringParam()),
        quoted(answer.getOutputs(1).getParametersOrThrow("classes").getStringParam()),
        status(stranger, asked),
        status(known, asked.toBuilder().setModelVersion("v2").build()),
        status(known, asked.toBuilder().clearInputs().build()));
    channel.shutdownNow();
  }

  private static ModelInferRequest asked() {
    ModelInferRequest.Builder asked = ModelInferRequest.newBuilder().setModelName("tiny");
    asked.putParameters(
        "ids", InferParameter.newBuilder().setStringParam("[\"java-0\", \"java-1\"]").build());
    add(asked, "amount", "FP64").addFp64Contents(12.5).addFp64Contents(3);
    add(asked, "size", "INT64").addInt64Contents(3).addInt64Contents(8);
    add(asked, "colour", "BYTES").addBytesContents(text("red")).addBytesContents(text("bl\u00e4u"));
    add(asked, "member", "BOOL").addBoolContents(true).addBoolContents(false);
    add(asked, "seen", "BYTES").addBytesContents(text("2026-01-31T12:00:00Z")).addBytesContents(text(""));
    return asked.build();
  }

  private static InferTensorContents.Builder add(ModelInferRequest.Builder asked, String name, String datatype) {
    return asked.addInputsBuilder().setName(name).setDatatype(datatype).addShape(2).addShape(1).getContentsBuilder();
  }

  private static ByteString text(String text) {
    return ByteString.copyFromUtf8(text);
  }

  private static String status(GRPCInferenceServiceBlockingStub stub, ModelInferRequest asked) {
    try {
      return quoted("answered " + stub.modelInfer(asked).getModelVersion());
    } catch (StatusRuntimeException refused) {
      return quoted(refused.getStatus().getCode().name());
    }
  }

  private static String quoted(String text) {
    return "\"" + text.replace("\"", "\\\"") + "\"";
  }
}
