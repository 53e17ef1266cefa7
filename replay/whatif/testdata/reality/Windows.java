import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.zip.CRC32;
import java.util.zip.Deflater;

// One thread reads a file through mapped windows, another compresses. Windows FILE PASSES PAGES: a window has so many pages.
public class Windows {
  static volatile boolean done;

  public static void main(String[] args) throws Exception {
    int passes = Integer.parseInt(args[1]), size = Integer.parseInt(args[2]) * 4096;
    var field = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe");
    field.setAccessible(true);
    var unsafe = (sun.misc.Unsafe) field.get(null);
    Thread worker = new Thread(Windows::compress);
    worker.start();
    Thread.sleep(200);
    long sum = 0;
    try (var file = FileChannel.open(Path.of(args[0]))) {
      for (int pass = 0; pass < passes; pass++)
        for (long at = 0; at + size <= file.size(); at += size) {
          MappedByteBuffer window = file.map(FileChannel.MapMode.READ_ONLY, at, size);
          CRC32 crc = new CRC32();
          crc.update(window);
          sum += crc.getValue();
          unsafe.invokeCleaner(window); // unmaps it now
        }
    }
    done = true;
    worker.join();
    System.out.println(sum);
  }

  static void compress() {
    byte[] in = new byte[2000], out = new byte[3000];
    while (!done) {
      for (int i = 0; i < in.length; i++) in[i] = (byte) (i * i >> 3);
      Deflater d = new Deflater(1);
      d.setInput(in);
      d.finish();
      d.deflate(out);
      d.end();
    }
  }
}
