import java.text.SimpleDateFormat;
import java.time.LocalDate;
import java.time.format.DateTimeFormatter;
import java.util.Date;

class WeekYears {
    static void run() {
        LocalDate june = LocalDate.of(2024, 6, 5);
        System.out.println(june.format(DateTimeFormatter.ofPattern("YYYY-MM-dd")));
        System.out.println(june.format(DateTimeFormatter.ofPattern("dd.MM.YY")));
        System.out.println(new SimpleDateFormat("YYYY/MM").format(new Date(1717500000000L)));
    }
}
