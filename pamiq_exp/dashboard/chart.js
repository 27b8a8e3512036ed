// A chart that grows: points that are new come alone, and everything else of the chart only when it has changed.
// The chart and its points stay out of Vue, which would watch each single point. What is out of sight is not drawn.
import { echarts } from "nicegui-echart";

export default {
  template: "<div></div>",
  mounted() {
    this.points = [];
    this.chart = echarts.init(this.$el);
    this.sizes = new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width !== this.chart.getWidth() || contentRect.height !== this.chart.getHeight()) {
        this.chart.resize();
      }
    });
    this.sizes.observe(this.$el);
    this.sight = new IntersectionObserver((entries) => {
      this.visible = entries.at(-1).isIntersecting;
      this.show();
    });
    this.sight.observe(this.$el);
  },
  beforeUnmount() {
    this.sizes.disconnect();
    this.sight.disconnect();
    this.chart.dispose();
  },
  methods: {
    // options: the whole chart without its points, or null if it stays. curves: for each [points that stay, new points].
    draw(options, curves) {
      this.points = curves.map(([kept, added], index) => (this.points[index] ?? []).slice(0, kept).concat(added));
      this.options = options ?? this.options;
      this.changed = true;
      this.show();
    },
    show() {
      if (!this.visible || !this.changed) return;
      const series = this.points.map((data, index) => ({ ...this.options?.series[index], data }));
      this.chart.setOption({ ...this.options, series }, { notMerge: Boolean(this.options) });
      this.options = null;
      this.changed = false;
    },
  },
};
